"""Configuration files: read safely, checked key by key, and refused where they hold a secret."""

from lightning_lrsched.configs.class_path import ClassPath
from lightning_lrsched.configs.document import ConfigError, build, check_keys, load_document, load_yaml
from lightning_lrsched.configs.secrets import refuse_secrets
from lightning_lrsched.configs.server import ServerConfig, load_server, tracker_from

__all__ = [
    "ClassPath",
    "ConfigError",
    "ServerConfig",
    "build",
    "check_keys",
    "load_document",
    "load_server",
    "load_yaml",
    "refuse_secrets",
    "tracker_from",
]
