"""One module for each layout of an export, which recognises it by its structure and checks each of its records.

Each has ``recognises`` and ``read``. They read what is there and guess nothing: an annotation that no image, class or
pixel can be found for puts its image's record aside.
"""
