"""The spans of an encoded document one by one."""


def spans_of(encoded, document):
    """The bytes and the codes of each span, which in a row are the document and all codes."""
    begin = code = 0
    for end, code_end in zip(encoded.byte_ends.tolist(), encoded.code_ends.tolist(), strict=True):
        yield document[begin:end], encoded.codes[code:code_end]
        begin, code = end, code_end
    assert (begin, code) == (len(document), len(encoded.codes))
