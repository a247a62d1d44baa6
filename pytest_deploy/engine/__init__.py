"""What a deploy is: plain functions on a ``Deploy``, acting only through its ports."""
