"""Rules as people write them: one grammar with English and Chinese words, read into the tree and written from it."""
