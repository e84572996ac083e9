//! Names of methods in Python.

/// Methods of Python's dict that do not modify it. They take precedence over keys in
/// `mapping.name`.
pub(in super::super) const DICT_METHODS: [&str; 6] =
    ["copy", "fromkeys", "get", "items", "keys", "values"];
/// Methods of Python's dict that modify it, which a template may not call.
pub(in super::super) const DICT_CHANGES: [&str; 5] =
    ["clear", "pop", "popitem", "setdefault", "update"];
/// Methods of Python's `str`.
pub(in super::super) const TEXT_METHODS: [&str; 44] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
];

/// Whether `value.name` could be a method, which Python finds before a key.
pub(super) fn names_method(name: &str) -> bool {
    DICT_METHODS.contains(&name)
        || DICT_CHANGES.contains(&name)
        || TEXT_METHODS.contains(&name)
        || name == "zfill"
}
