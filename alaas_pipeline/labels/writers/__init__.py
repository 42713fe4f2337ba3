"""One module for each form in which annotations leave the house; each takes `AnnotatedImage`s in any order.

They write into a folder that nobody reads yet: whoever publishes it moves it into place when it is whole.
"""
