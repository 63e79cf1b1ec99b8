"""Write the toy shop of README.md and the guides: python docs/shop.py [FOLDER].

``ratings.csv`` says what 40 customers bought and when, ``products.csv`` what the 30 products are.
Every customer has a favourite colour and takes a product of it six times as often as another.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl

COLOURS = ("red", "green", "blue")
THINGS = ("cup", "bowl", "lamp", "card", "clock", "tray", "vase", "box", "bag", "mug")
CUSTOMERS, PURCHASES, FAVOUR = 40, 8, 6.0


def write_shop(folder: Path) -> None:
    """Write both files."""
    rng = np.random.default_rng(0)
    titles = [f"{colour} {thing}" for thing in THINGS for colour in COLOURS]
    products = np.arange(len(titles))
    pairs = []
    for customer in range(CUSTOMERS):
        odds = np.where(products % len(COLOURS) == customer % len(COLOURS), FAVOUR, 1.0)
        bought = rng.choice(products, PURCHASES, replace=False, p=odds / odds.sum())
        pairs += [(f"c{customer}", f"p{product}") for product in bought]
    days = rng.permutation(len(pairs)) + 1
    pl.DataFrame(pairs, schema=["customer", "product"], orient="row").with_columns(
        when=pl.Series(days)
    ).write_csv(folder / "ratings.csv")
    pl.DataFrame(
        {
            "product": [f"p{product}" for product in products],
            "title": titles,
            "brand": [f"brand {product % 4}" for product in products],
            "price": [round(1.5 + 0.7 * product, 2) for product in products],
        }
    ).write_csv(folder / "products.csv")


if __name__ == "__main__":
    write_shop(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
