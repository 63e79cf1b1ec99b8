"""Terms beside the ranking loss that make modalities agree, learn evenly and stay sparse."""
