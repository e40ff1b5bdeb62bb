"""Google's Quick, Draw!: its official files, categories and splits, as shards."""
