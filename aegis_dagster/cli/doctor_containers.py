"""The finding of `aegis doctor` on the Docker engine whose containers steps run in."""

from contextlib import closing

from aegis_dagster.cli.doctor_models import Finding
from aegis_dagster.composition.project import Project
from aegis_dagster.defs.containers.left_behind import uses_containers


def containers_finding(project: Project) -> Finding:
    """Whether the engine answers and has the image. Raises AegisError."""
    settings = project.settings.containers
    if not uses_containers(project.settings):
        remedy = "pip install 'aegis_dagster[docker]'"
        return Finding("containers", False, f"{settings.image} is set, and dagster-docker is not installed", remedy)
    from docker.errors import ImageNotFound

    from aegis_dagster.defs.containers.engine import engine_errors, open_engine

    image = settings.image or ""
    with closing(open_engine()) as engine, engine_errors(image):
        version = engine.version()["Version"]
        try:
            engine.images.get(image)
        except ImageNotFound:
            remedy = f"build it there, or see whether `docker pull {image}` works: the first step pulls it."
            return Finding("containers", False, f"Docker {version}; it does not have the image {image} yet", remedy)
    return Finding(
        "containers", True, f"Docker {version}; image {image}; {settings.gpus} GPUs for a step with models", ""
    )
