"""Adapters of the peers, one file for each family. Importing this package registers them all."""

from tests.golden.peers import (  # noqa: F401
    composer_peer,
    fvcore_fastai,
    keras_peer,
    mmengine_peer,
    optax_peer,
    others,
    timm_peer,
    torch_peer,
    transformers_peer,
)
