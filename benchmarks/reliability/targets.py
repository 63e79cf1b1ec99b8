"""Everything that is fuzzed."""

import target_data
import target_features
import target_own
from cases import Target

TARGETS: dict[str, Target] = {
    "config_toml": Target(lambda: target_data.config_texts("toml"), target_data.read_config),
    "config_json": Target(lambda: target_data.config_texts("json"), target_data.read_config),
    "settings": Target(target_data.settings, target_data.read_settings, 1.0),
    "readers": Target(target_data.readers, target_data.read_data, 0.15),
    "features": Target(target_features.matrices, target_features.read_matrix),
    "attributes": Target(target_features.attributes, target_features.read_attributes, 1.0),
    "neighbours": Target(target_features.neighbours, target_features.read_lists),
    "checkpoint": Target(target_own.checkpoints, target_own.read_checkpoint, 0.5),
    "store": Target(target_own.shards, target_own.read_store, 0.5),
    "result": Target(target_own.results, target_own.read_record, 0.5),
    "pictures": Target(target_features.pictures, target_features.decode_picture),
    "sounds": Target(target_features.sounds, target_features.decode_sound),
}
"""Everything that is fuzzed."""

SHARES = {
    **{"config_toml": 0.22, "config_json": 0.15, "settings": 0.16, "readers": 0.12},
    **{"features": 0.1, "attributes": 0.03, "neighbours": 0.04, "checkpoint": 0.05},
    **{"store": 0.04, "result": 0.07, "pictures": 0.015, "sounds": 0.005},
}
"""How many of the inputs each target gets."""
