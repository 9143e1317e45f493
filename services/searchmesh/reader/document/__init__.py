"""A page's content as blocks, and the formats that it is written in."""
