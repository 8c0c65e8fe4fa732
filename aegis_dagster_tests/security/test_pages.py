"""A page that a stranger's name or message is part of mentions nobody, links nowhere and formats nothing.

The payloads are what a real server receives from Apprise and from our Alertmanager channel.
"""

import email
import email.policy
import json
import re
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from aegis_dagster.domain.alerts import AlertKey, AlertKind, Links, Page, Severity, Told, in_label
from aegis_dagster.domain.inert import inert
from aegis_dagster.monitoring.paging.alertmanager import AlertmanagerChannel
from aegis_dagster.monitoring.paging.apprise import AppriseChannel
from aegis_dagster.monitoring.paging.wording import labels_of
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster_tests.support.servers.prometheus import checked
from aegis_dagster_tests.support.servers.webhook import Webhook

MENTIONS = "@channel @here @everyone @all <!channel> <!here|x> <!subteam^S1> <@U123> <@&9> <#C1> <at>Ana</at> @ana"
POINTERS = (
    "[pay](http://evil.example/a) ![p](https://evil.example/p.png) <http://evil.example|bank> www.evil.example "
    "evil.example/x evil.zip 10.11.12.13/x mailto:a@evil.example [r]: http://evil.example tg://resolve?domain=evil"
)
MARKUP = (
    "*bold* _slanted_ **b** __u__ ~gone~ `code` ```block``` ||spoiler|| <b>b</b> <a href='x'>y</a> <img src=x> :boom:"
)
HOSTILE = f"{MENTIONS} {POINTERS} {MARKUP} \u202e\x1b[2J"
OBEYED = re.compile(
    r"@(channel|here|everyone|all|ana)|<[!@#]|<at>|<(?:b|a|img)\b|\]\(|\]:|<http|://evil|tg://|(?<![\w.])evil\.(?:example|zip)"
    r"|www\.evil|10\.11\.12|mailto:|\*bold|\*\*b|(?<!\w)_slanted|`|~gone|\|\||:boom:|[\u202e\x1b]",
)
LINKS = Links("http://127.0.0.1:3000", "https://docs.example/MONITORING.md")
PAGE = Page(
    AlertKey(AlertKind.CHECK, in_label(f"ours {HOSTILE}"), in_label(HOSTILE[:190]), in_label(HOSTILE[-190:])),
    Severity.CRITICAL,
    firing=True,
    since_us=1_790_000_000_000_000,
    at_us=1_790_000_000_000_000,
    told=Told(f"{HOSTILE}\nBcc: x@evil.example\n# {HOSTILE}", ((HOSTILE[:100], "20.25"),), "a-run"),
)

ADDRESSES = {
    "slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/",
    "slack as Markdown": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?format=markdown",
    "discord": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "discord as Markdown": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?format=markdown",
    "mattermost": "mmost://127.0.0.1/3ccdd113474722377935511fc85d3dd4",
    "telegram": "tgram://123456789:abcdefg_hijklmnop/12315544/",
    "telegram as HTML": "tgram://123456789:abcdefg_hijklmnop/12315544/?format=html",
    "teams": "workflows://host.example:443/643e69b7/aTDYVb2P6Kbla/",
    "webhook": "json://127.0.0.1/page",
}


@pytest.fixture
def everywhere(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> Webhook:
    """Every service of the internet is this receiver on loopback."""
    send: Any = requests.adapters.HTTPAdapter.send

    def to_loopback(
        self: requests.adapters.HTTPAdapter, request: requests.PreparedRequest, **options: object
    ) -> requests.Response:
        request.url = webhook.url
        answer: requests.Response = send(self, request, **options)
        return answer

    webhook.says = b"ok"  # Slack's word
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", to_loopback)
    return webhook


@pytest.mark.parametrize("service", ADDRESSES)
def test_what_a_service_receives_obeys_no_stranger(everywhere: Webhook, service: str) -> None:
    AppriseChannel(ADDRESSES[service], links=LINKS).send(PAGE)
    assert everywhere.bodies
    said = json.dumps(everywhere.bodies, ensure_ascii=False).replace("\\\\", "")  # Apprise escapes Markdown, too
    assert "http://127.0.0.1:3000/runs/a-run" in said  # our own link is one
    if service.startswith("telegram"):
        said = re.sub(r"<b>([^<>]*)</b>", r"\1", said, count=1)  # Apprise's own, around the title
    theirs = re.sub(r"http://127\.0\.0\.1:3000/runs/a-run|https://docs\.example/\S*|https?://\S*apprise\S*", "", said)
    assert "evil․example" in theirs and "20.25" in theirs
    assert [found[0] for found in OBEYED.finditer(theirs)] == []


def test_no_name_that_looks_alike_shares_the_labels_of_another() -> None:
    names = ["clients.acme.com", "clients․acme․com", "clients．acme.com"]
    keys = [AlertKey(AlertKind.CHECK, "parsed", name, "no_failures") for name in names]
    labels = [labels_of(replace(PAGE, key=key)) for key in keys]
    assert {each["partition"] for each in labels} == {"clients․acme․com"}
    assert len({json.dumps(each) for each in labels}) == 3
    usual = replace(PAGE, key=AlertKey(AlertKind.CHECK, "parsed", "contracts", "no_failures"))
    assert labels_of(usual) == usual.labels()


def test_alertmanager_receives_labels_and_annotations_that_no_template_can_make_act(webhook: Webhook) -> None:
    root = webhook.url.removesuffix("/page")
    AlertmanagerChannel(root, links=LINKS, stands_seconds=0, clock=SystemClock()).send(PAGE)
    ((alert,),) = webhook.bodies
    said = json.dumps([alert["labels"], {**alert["annotations"], "run_url": "", "runbook_url": ""}], ensure_ascii=False)
    assert "evil․example" in said
    assert [found[0] for found in OBEYED.finditer(said)] == []
    assert "\n" not in "".join(alert["labels"].values()) and alert["annotations"]["run_url"].endswith("/runs/a-run")


TEMPLATES = Path(__file__).parents[2] / "dashboards" / "alertmanager" / "aegis.tmpl"


@pytest.mark.parametrize("name", ["aegis.title", "aegis.text"])
def test_the_templates_of_alertmanager_escape_what_the_exporter_says_faithfully(name: str, tmp_path: Path) -> None:
    labels = {"alertname": "DocumentsFailed", "collection": HOSTILE}
    notes = {"summary": f"{HOSTILE}\n", "description": HOSTILE, "runbook_url": "https://docs.example/x.md"}
    one = {"status": "firing", "labels": labels, "annotations": notes, "startsAt": "2026-11-24T12:00:00Z"}
    data = {"status": "firing", "alerts": [one], "commonLabels": labels, "commonAnnotations": notes}
    (tmp_path / "data.json").write_text(json.dumps(data))
    said = checked(
        *("amtool", "template", "render", "--template.glob", TEMPLATES, "--template.data", tmp_path / "data.json"),
        *("--template.text", f'{{{{ template "{name}" . }}}}'),
    )
    assert "evil․example" in said and (name == "aegis.title") == ("\n" not in said.strip())
    assert [found[0] for found in OBEYED.finditer(said)] == []


class _Mailbox(socketserver.StreamRequestHandler):
    """As much SMTP as a sender needs."""

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            if line.upper().startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                MAILS.append(b"".join(lines))
            self.wfile.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 ok\r\n")


MAILS: list[bytes] = []


@pytest.fixture
def mail_port() -> Iterator[int]:
    MAILS.clear()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mailbox) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("wanted", ["text", "html"])
def test_a_mail_has_one_subject_and_no_header_of_a_stranger(mail_port: int, wanted: str) -> None:
    named = AlertKey(AlertKind.CHECK, "ours\r\nBcc: x@evil.example\r\n\r\nhello", check="c")
    address = f"mailto://127.0.0.1:{mail_port}?from=us@ours.example&to=you@ours.example&mode=insecure&format={wanted}"
    AppriseChannel(address, links=LINKS).send(Page(named, Severity.CRITICAL, True, 1, 1, PAGE.told))
    (mail,) = (email.message_from_bytes(one, policy=email.policy.default) for one in MAILS)
    assert mail["Bcc"] is None and mail["To"] == "you@ours.example"
    assert mail["Subject"].startswith("[critical] Check c of ours\\r\\nBcc")
    body = mail.get_body(("html", "plain") if wanted == "html" else ("plain", "html"))
    assert body is not None
    said = body.get_content()
    assert "evil․example" in said
    theirs = re.sub(r"</?(?:html|head|body|br|p|a|b|title|h\d)\b[^>]*>", "", said) if wanted == "html" else said
    assert [found[0] for found in OBEYED.finditer(theirs)] == []


@pytest.mark.parametrize(
    "text",
    [
        "Check documents_parsed of parsed_documents, partition legal failed",
        "harbour/report.pdf and letters/a.docx: 20.25 USD (80.5 %) at 12:30:45, e.g. see aegis.yaml.",
        "Job __ASSET_JOB(chunks), partition 2026-01: ünï ☃ _c",
    ],
)
def test_usual_names_and_numbers_stay(text: str) -> None:
    assert inert(text) == text
