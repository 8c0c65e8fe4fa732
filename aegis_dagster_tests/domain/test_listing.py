"""The difference between a scan and the catalog."""

from aegis_dagster.domain.identifiers import DocumentId, Revision, collection_of
from aegis_dagster.domain.listing import (
    KnownFile,
    Listing,
    PassedOver,
    SeenFile,
    deletions_need_confirmation,
    diff_listing,
)


def seen(**files: str) -> dict[DocumentId, SeenFile]:
    """name=revision; the stamp is the revision's."""
    return {DocumentId(name): SeenFile(Revision(value), f"stamp {value}", 1) for name, value in files.items()}


def known(**files: str) -> dict[DocumentId, KnownFile]:
    return {DocumentId(name): KnownFile(Revision(value), f"stamp {value}") for name, value in files.items()}


def test_a_file_that_was_not_there_is_new_and_one_that_is_gone_is_deleted() -> None:
    diff = diff_listing(Listing(seen(a="1", b="2")), known(b="2", c="3"))
    assert (diff.new, diff.deleted, diff.changed, diff.moved, diff.unchanged) == (("a",), ("c",), (), (), 1)


def test_other_bytes_are_a_change_and_the_same_bytes_with_another_stamp_are_only_touched() -> None:
    listing = Listing({**seen(a="2"), DocumentId("b"): SeenFile(Revision("1"), "later", 1)})
    diff = diff_listing(listing, known(a="1", b="1"))
    assert (diff.changed, diff.touched) == (("a",), ("b",))


def test_the_same_bytes_under_another_name_are_a_move() -> None:
    diff = diff_listing(Listing(seen(new="1")), known(old="1"))
    assert (diff.moved, diff.new, diff.deleted) == ((("old", "new"),), (), ())


def test_a_copy_is_a_new_document_because_the_original_stays() -> None:
    diff = diff_listing(Listing(seen(a="1", copy="1")), known(a="1"))
    assert (diff.new, diff.moved) == (("copy",), ())


def test_two_equal_files_that_move_are_paired_in_the_order_of_their_paths() -> None:
    diff = diff_listing(Listing(seen(x="1", y="1")), known(a="1", b="1"))
    assert diff.moved == (("a", "x"), ("b", "y"))


def test_a_document_that_cannot_be_read_now_is_kept_with_all_below_an_unreadable_folder() -> None:
    passed = (PassedOver("a", "unreadable", "", True), PassedOver("locked/", "unreadable", "", True))
    before = {**known(a="1", b="2"), DocumentId("locked/c"): KnownFile(Revision("3"), "s")}
    assert diff_listing(Listing({}, passed), before).deleted == ("b",)


def test_a_link_that_now_leaves_the_root_deletes_its_document() -> None:
    passed = (PassedOver("a", "link_leaves_root", "", False),)
    assert diff_listing(Listing({}, passed), known(a="1")).deleted == ("a",)


def test_the_guard_needs_both_limits_to_be_exceeded() -> None:
    def held(deleted: int, of: int) -> bool:
        ids = [DocumentId(str(number)) for number in range(deleted)]
        return deletions_need_confirmation(ids, of, max_share=0.2, max_count=10)

    assert not held(10, 10)  # all, but few
    assert not held(200, 1000)  # many, but not more than the share
    assert held(11, 50)
    assert held(201, 1000)


def test_the_collection_is_the_top_folder_and_files_at_the_root_are_in_default() -> None:
    assert collection_of(DocumentId("a/b/c.pdf")) == "a"
    assert collection_of(DocumentId("c.pdf")) == "default"
