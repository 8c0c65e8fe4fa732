"""Builds the channels of pages from the settings."""

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.alerts import Links
from aegis_dagster.monitoring.paging.channels import channels_of
from aegis_dagster.ports import PageChannel
from aegis_dagster.settings.keys import notify_addresses


def links_of(project: Project) -> Links:
    """The links in pages, from the settings."""
    return Links(project.settings.alerts.dagster_url, project.settings.alerts.runbook_url)


def paging_channels(project: Project) -> list[PageChannel]:
    """The channels to notify, from the settings and the environment."""
    settings = project.settings.alerts
    return channels_of(
        settings.alertmanager,
        notify_addresses(),
        links=links_of(project),
        stands_seconds=settings.stands_seconds,
        clock=project.clock,
    )
