"""Record length and sha256 of files of published data sets, by folder and file name.

The files of MMRec's release, feature matrices included, are distributed by its authors and may not
be redistributed. A user who has such files can check here whether they are the right ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Identity:
    """Length in bytes and sha256 (hex) of a file."""

    num_bytes: int
    sha256: str


IDENTITIES: Final[Mapping[str, Mapping[str, Identity]]] = {
    "online-retail": {
        "raw.parquet": Identity(
            2803343, "88a9bb5ef770ee248390f2ddc7874c196379a3215bb9b93021d00c8fe97bc269"
        ),
    },
    "ml-100k": {
        "ml-100k.inter": Identity(
            1979230, "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff"
        ),
        "ml-100k.item": Identity(
            66632, "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532"
        ),
    },
    "amazon-baby": {
        "baby.inter": Identity(
            4523032, "9ef5de9a05949d973928cca113aacba12067ff8f104e310ef28ea42db00c17b1"
        ),
        "text_feat.npy": Identity(
            10828928, "6667f2ad655c9ecc97cb3383f58988864ef51ec0b39c158b15986c66769f2dc4"
        ),
        "image_feat.npy": Identity(
            231014528, "36c3be592b98506189a7d5de71b21577cf626f0293b539d861534673b3e9fd70"
        ),
        "user_graph_dict.npy": Identity(
            38955963, "c97bf8ba2871ebe58fe864e51a2e01053288dbea767aca03358ded57eda768f9"
        ),
    },
    "amazon-sports": {
        "sports.inter": Identity(
            8574721, "2ee5b37ea88672ef94660db3e85f37cef0efa57536aa6e1f4e1b2986e63d53bb"
        ),
        "text_feat.npy": Identity(
            28196480, "27d6087f0d8644b8245c60052425530c6446dffe61024b8126db0009ad94de84"
        ),
        "image_feat.npy": Identity(
            601522304, "222f924a0694b6c7e2bc26ea4bc2ef4ec89f7045aa5105ef463af8455c7a7695"
        ),
    },
    "amazon-clothing": {
        "clothing.inter": Identity(
            8119186, "f9fe8f98a7b7ebc04fa151803bbc37c6e184b30f2d56d54c491695cf990e869c"
        ),
        "text_feat.npy": Identity(
            35378816, "17d9e036514283fb0a0dda71789fe56d0c128b60d8f350e7b7ab83ac4c5960dd"
        ),
        "image_feat.npy": Identity(
            754745472, "050ea2d0d05bdd441053cc4d9ac38fd570c9611cc49357f442c1c7b8c9943fbc"
        ),
    },
}
