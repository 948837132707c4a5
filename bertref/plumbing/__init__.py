"""What lies under the rooms: checksums, protocol buffers, files that are there whole or not at all, the processor.

Nothing here knows what a BERT is.
"""
