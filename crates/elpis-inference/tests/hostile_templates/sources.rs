//! Templates that strain the renderer or the parser.

/// A value that is small to build and endless to walk.
const DOUBLING: &str = "{% set ns = namespace(x=['aaaaaaaaaaaaaaaa']) %}\
                        {% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}";

/// The same without a namespace, as a mapping.
fn straight_doubling() -> String {
    "{% set x = ['a'] %}".to_owned() + &"{% set x = {'a': x, 'b': x} %}".repeat(50)
}

const LONG_TEXT: &str = "{% set ns = namespace(s='aaaaaaaa') %}\
                         {% for i in range(20) %}{% set ns.s = ns.s + ns.s %}{% endfor %}";

/// What walks a value `X`.
const WALKS: &[&str] = &[
    "{{ X }}",
    "{{ X ~ 'a' }}",
    "{{ 'a' ~ X }}",
    "{{ X == [X] }}",
    "{{ X != [X, 1] }}",
    "{{ [X] < [X, 1] }}",
    "{{ X in [[X], X] }}",
    "{{ X not in [[X]] }}",
    "{{ X == Y }}",
    "{{ X in [Y] }}",
    "{{ [X, Y] | sort | length }}",
    "{{ [X, Y] | unique | list | length }}",
    "{{ [X, Y] | min | length }}{{ [X, Y] | max | length }}",
    "{{ [X, Y] | join }}",
    "{{ [[X]] | join(X) }}",
    "{{ X | join(',') }}",
    "{{ X | upper }}",
    "{{ X | lower }}",
    "{{ X | title }}",
    "{{ X | capitalize }}",
    "{{ X | trim }}",
    "{{ X | replace('a', 'b') }}",
    "{{ 'a' | replace('a', X) }}",
    "{{ X | string | length }}",
    "{{ X | tojson }}",
    "{{ X | tojson(indent=4) }}",
    "{{ X | escape }}",
    "{{ X | e }}",
    "{{ X | urlencode }}",
    "{{ X | indent }}",
    "{{ X | center(4) }}",
    "{{ X | wordcount }}",
    "{{ X | truncate(3) }}",
    "{{ X | int }}{{ X | float }}",
    "{{ X | abs }}",
    "{{ X | round }}",
    "{{ X | pprint }}",
    "{{ X | list | length }}",
    "{{ X | reverse | list | length }}",
    "{{ X | batch(1) | list | string }}",
    "{{ X | slice(1) | list | string }}",
    "{{ X | map('string') | list | length }}",
    "{{ X | map('upper') | list | length }}",
    "{{ X | map('tojson') | list | length }}",
    "{{ X | map('sort') | list | length }}",
    "{{ X | map('unique') | list | length }}",
    "{{ X | map('join') | list | length }}",
    "{{ [X] | select('eq', Y) | list | length }}",
    "{{ [X] | select('in', [Y]) | list | length }}",
    "{{ [{'a': X}] | selectattr('a', 'equalto', Y) | list | length }}",
    "{{ [{'a': X}, {'a': Y}] | groupby('a') | length }}",
    "{{ [{'a': X}, {'a': Y}] | sort(attribute='a') | length }}",
    "{{ [{'a': X}, {'a': Y}] | map(attribute='a') | unique | list | length }}",
    "{{ {'a': X, 'b': Y} | dictsort(by='value') | length }}",
    "{{ [X, Y] | sum(start=[]) | length }}",
    "{{ X is eq Y }}{{ X is in [Y] }}{{ X is sameas Y }}",
    "{{ [X].index(Y) }}",
    "{{ [X].count(Y) }}",
    "{{ {X: 1} }}",
    "{{ {(X, 1): 1} }}",
    "{{ {}[X] }}",
    "{{ {}.get(X) }}",
    "{{ {}.get((X,)) }}",
    "{{ X in {} }}",
    "{{ '{}'.format(X) }}",
    "{{ '{a}'.format(a=X) }}",
    "{{ '%s' % X }}",
    "{{ '%s' % (X,) }}",
    "{{ '%(a)s' % {'a': X} }}",
    "{{ '%s' | format(X) }}",
    "{{ raise_exception(X) }}",
    "{{ dict(a=X) }}",
    "{{ ','.join(X) }}",
    "{{ 'a'.startswith(X) }}",
    "{% for i in [1, 2] %}{{ loop.changed(X) }}{% endfor %}",
    "{% for i in [1, 2] %}{{ loop.cycle(X, Y) }}{% endfor %}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(X) }}",
    "{% macro m() %}{{ X }}{% endmacro %}{{ m }}{{ m() }}",
    "{% filter upper %}{{ X }}{% endfilter %}",
    "{% set t %}{{ X }}{% endset %}{{ t }}",
    "{% for a in X recursive %}{{ loop(a) if a is not string }}{% endfor %}",
    "{{ X * 3 }}",
    "{{ (X + X) | string }}",
    "{{ strftime_now(X) }}",
    "{{ range(X) }}",
    "{{ X | default(1) }}",
    "{{ 'a'[X] }}{{ [1][X:] }}",
    "{{ X | zip(Y) | list | string }}{{ X | chain(Y) | list | string }}",
    "{{ X | items | list | string }}",
    "{{ X | attr(X) }}",
];

pub(super) fn walks() -> Vec<String> {
    let mut sources = Vec::new();
    for walk in WALKS {
        let body = walk.replace('X', "ns.x").replace('Y', "other.x");
        let other = DOUBLING.replace("ns", "other");
        sources.push(format!("{DOUBLING}{other}{body}"));
        let body = walk.replace('X', "x").replace('Y', "y");
        let x = straight_doubling();
        let y = x.replace("set x", "set y").replace(": x", ": y");
        sources.push(format!("{x}{y}{body}"));
    }
    sources
}

/// Namespaces that hold themselves.
pub(super) fn cycles() -> Vec<String> {
    let begin = "{% set ns = namespace(x=1) %}{% set other = namespace() %}";
    [
        "{% set ns.x = ns %}{{ ns }}",
        "{% set ns.x = [ns] %}{{ ns }}",
        "{% set ns.x = {'a': ns} %}{{ ns | tojson }}",
        "{% set ns.x = (1, (2, ns)) %}{{ ns.x == ns.x }}{{ ns }}",
        "{% set other.x = ns %}{% set ns.x = other %}{{ ns ~ other }}",
        "{% set l = [ns] %}{% set ns.x = l %}{{ l }}",
        "{% set ns.x = namespace(y=ns) %}{{ ns | string }}",
        "{% set ns.x = dict(a=ns) %}{{ ns in [ns.x] }}",
        "{% set ns.x = [ns] | list %}{{ ns.x }}",
        "{% set ns.x = [ns] + [] %}{{ ns.x }}",
        "{% set ns.x = ns if true else 1 %}{{ ns }}",
        "{% for i in [ns] %}{% set ns.x = i %}{% endfor %}{{ ns }}",
        "{% macro m() %}{{ ns.x }}{{ m }}{% endmacro %}{% set ns.x = m %}{{ ns }}{{ m() }}",
        "{% for i in [1] %}{% set ns.x = loop %}{% endfor %}{{ ns }}{{ ns.x == ns.x }}",
        "{% set ns.x, other.x = other, ns %}{{ ns }}{{ other }}",
        "{% set ns.x %}{{ ns }}{% endset %}{{ ns }}",
    ]
    .iter()
    .map(|body| format!("{begin}{body}"))
    .collect()
}

/// Values that nest without end.
pub(super) fn nesting() -> Vec<String> {
    let steps = [
        "[ns.x]",
        "(ns.x,)",
        "{'a': ns.x}",
        "dict(a=ns.x)",
        "[ns.x] | list",
        "[ns.x] | batch(1) | list",
        "[ns.x] | reverse | list",
        "[ns.x] | slice(1) | list",
        "[ns.x] * 2",
        "[ns.x] + [1]",
        "{'a': ns.x}.items() | list",
        "{'a': ns.x}.values() | list",
        "[ns.x] | map('list')",
        "[ns.x] | select",
        "ns.x | batch(1)",
    ];
    let mut sources: Vec<String> = steps
        .iter()
        .map(|step| {
            format!(
                "{{% set ns = namespace(x=[1]) %}}{{% for i in range(50000) %}}\
                 {{% set ns.x = {step} %}}{{% endfor %}}{{{{ ns.x == 1 }}}}done"
            )
        })
        .collect();
    for step in ["[x]", "(x,)", "{'a': x}", "[x] | batch(1) | list"] {
        let line = format!("{{% set x = {step} %}}");
        sources.push("{% set x = 1 %}".to_owned() + &line.repeat(5000) + "{{ x }}");
    }
    let withs = 2000;
    sources.push("{% with x = [1] %}".to_owned() + &"{% with x = [x] %}".repeat(withs) + "{{ x }}");
    sources.push(
        "{% macro f(n, x) %}{{ f(n - 1, [x]) if n else x }}{% endmacro %}{{ f(9999, 1) }}".into(),
    );
    sources
}

pub(super) fn work_and_size() -> Vec<String> {
    let long = LONG_TEXT;
    vec![
        "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}".to_owned(),
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".to_owned(),
        "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}".to_owned(),
        "{% macro f() %}{% call f() %}x{% endcall %}{{ caller() }}{% endmacro %}{{ f() }}".to_owned(),
        "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}".to_owned(),
        "{{ 'a' * 999999999999 }}".to_owned(),
        "{{ 'a' * 99999999 }}".to_owned(),
        "{{ [1] * 99999999 }}".to_owned(),
        "{{ (1, 2) * 99999999 }}".to_owned(),
        "{{ 2 ** 99999999999 }}{{ 10 ** 38 * 10 ** 38 }}".to_owned(),
        "{{ 99999999999999999999999999999999999999999999999999 }}".to_owned(),
        "{{ range(999999999999) | list | length }}".to_owned(),
        "{% for i in range(1000) %}{{ range(99999) | list | sort | length }}{% endfor %}".to_owned(),
        "{% for i in range(1000) %}{{ range(99999) | unique | list | length }}{% endfor %}".to_owned(),
        "{% for i in range(1000) %}{{ range(99999) | sum }}{% endfor %}".to_owned(),
        "{% for i in range(1000) %}{{ 99999 in range(99999) }}{{ -1 in range(99999) | list }}{% endfor %}".to_owned(),
        "{% set l = range(90000) | list %}{% for i in range(9999) %}{% set l2 = l + l %}{% endfor %}".to_owned(),
        "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.l | length }}".to_owned(),
        "{% set ns = namespace(l=[1]) %}{% for i in range(40) %}{% set ns.l = ns.l + ns.l %}{% endfor %}{{ ns.l | length }}".to_owned(),
        "{% set ns = namespace(l={}) %}{% for i in range(9999) %}{% set ns.l = dict(ns.l, **{'k' ~ i: i}) %}{% endfor %}{{ ns.l | length }}".to_owned(),
        "{% set ns = namespace(s='a') %}{% for i in range(99999) %}{% set ns.s = ns.s ~ 'aaaaaaaaaaaaaaaa' %}{% endfor %}{{ ns.s | length }}".to_owned(),
        "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s | length }}".to_owned(),
        "{% for i in range(99999) %}{{ messages | tojson }}{% endfor %}".to_owned(),
        "{% for i in range(99999) %}{{ messages[1].content.split(' ') | length }}{% endfor %}".to_owned(),
        "{% for i in range(99999) %}{{ messages[1].content.upper().lower().title() | length }}{% endfor %}".to_owned(),
        "{% for i in range(99999) %}{% if 'zzz' in messages[1].content %}x{% endif %}{% endfor %}".to_owned(),
        format!("{long}{{{{ ns.s.replace('a', ns.s) }}}}"),
        format!("{long}{{{{ ns.s | replace('a', ns.s) }}}}"),
        format!("{long}{{{{ ns.s.replace('', ns.s) }}}}"),
        format!("{long}{{{{ ns.s.join(ns.s | list) }}}}"),
        format!("{long}{{{{ ns.s | list | join(ns.s) }}}}"),
        format!("{long}{{{{ ns.s | join(ns.s) }}}}"),
        format!("{long}{{{{ ns.s.split('a') | length }}}}"),
        format!("{long}{{{{ ns.s | list | sort | length }}}}"),
        format!("{long}{{{{ '%s%s%s%s' % (ns.s, ns.s, ns.s, ns.s) }}}}"),
        format!("{long}{{{{ '{{0}}{{0}}{{0}}{{0}}{{0}}{{0}}'.format(ns.s) }}}}"),
        format!("{long}{{% for i in range(99999) %}}{{{{ ns.s.count('aaaaaaab') }}}}{{% endfor %}}"),
        format!("{long}{{% for i in range(99999) %}}{{{{ ns.s.find('aaaaaaaaaaaaaaaaab') }}}}{{% endfor %}}"),
        format!("{long}{{% for i in range(99999) %}}{{{{ ns.s[5:] | length }}}}{{% endfor %}}"),
        format!("{long}{{% for i in range(99999) %}}{{{{ ns.s[-1] }}}}{{{{ ns.s[999999] }}}}{{% endfor %}}"),
        format!("{long}{{% for i in range(99999) %}}{{{{ ns.s == ns.s ~ 'b' }}}}{{% endfor %}}"),
        format!("{long}{{% for i in range(99999) %}}{{{{ ns.s | tojson | length }}}}{{% endfor %}}"),
        format!("{long}{{% for i in range(99999) %}}{{{{ ns.s | urlencode | length }}}}{{% endfor %}}"),
        format!("{long}{{% for i in range(99999) %}}{{{{ ns.s | wordcount }}}}{{{{ ns.s | length }}}}{{% endfor %}}"),
        format!("{long}{{% set ns.l = '\\n' * 1000000 %}}{{{{ ns.l | indent(256, true, true) }}}}"),
        format!("{long}{{{{ ('\\t' * 1000000).expandtabs(64) }}}}"),
        "{{ '{:>99999999999}'.format('x') }}".to_owned(),
        "{{ '{:999}{:999}{:999}'.format(1, 2, 3) * 99999 }}".to_owned(),
        "{{ '%99999999999s' | format('x') }}{{ '%.99999999999f' % 1.5 }}".to_owned(),
        "{{ '%*d' % (99999999, 1) }}".to_owned(),
        "{{ 'x' | center(99999999999) }}{{ 'x' | indent(99999999999, true) }}".to_owned(),
        "{{ 'x'.ljust(99999999999) }}".to_owned(),
        "{{ 'x'.zfill(99999999999) }}{{ 'x'.rjust(-9999999999) }}".to_owned(),
        "{{ 'x'.expandtabs(99999999999) }}{{ '\t'.expandtabs(99999999999) }}".to_owned(),
        "{{ 1.5 | round(99999999) }}{{ 1.5 | round(-99999999) }}".to_owned(),
        "{{ strftime_now('%Y' * 99999) }}".to_owned(),
        "{{ strftime_now('%') }}{{ strftime_now('%Q%-') }}".to_owned(),
        "{{ lipsum(9999) }}{{ cycler(1) }}{{ joiner() }}".to_owned(),
        "{{ loop }}{{ self }}{{ namespace }}{{ dict }}{{ range }}".to_owned(),
        "{{ [[1, 2]] | map('map') | list }}{{ [1] | map('nothing') | list }}".to_owned(),
        "{{ ''.__class__.__mro__ }}{{ messages.__class__ }}".to_owned(),
        "{% include 'chat_template' %}".to_owned(),
        "{% import 'chat_template' as x %}".to_owned(),
        "{% extends 'chat_template' %}".to_owned(),
        "{{ __py_sum('+', 1, 2) }}".to_owned(),
        "{% set __py_weighed = 1 %}".to_owned(),
        "{{ messages.__py_x }}".to_owned(),
        "{{ {'__py_a': 1} }}".to_owned(),
    ]
}

pub(super) fn sources_that_strain_the_parser() -> Vec<String> {
    let around = |open: &str, inside: &str, close: &str, count: usize| {
        format!("{}{inside}{}", open.repeat(count), close.repeat(count))
    };
    let mut sources = vec![
        format!("{{{{ {} }}}}", around("(", "1", ")", 5000)),
        format!("{{{{ {} }}}}", around("[", "1", "]", 5000)),
        format!("{{{{ {} }}}}", around("{'a':", "1", "}", 5000)),
        format!("{{{{ {} }}}}", around("f(", "1", ")", 5000)),
        format!("{{{{ {} }}}}", around("a[", "1", "]", 5000)),
        format!("{{{{ {} }}}}", around("(", "1", ")", 47)),
        format!("{{{{ {} }}}}", around("[", "1", "]", 47)),
        format!("{{{{ {} }}}}", around("(1 ~ ", "1", ")", 47)),
        format!("{{{{ {} }}}}", around("(a.b(", "1", "))", 20)),
        around("{% if true %}", "x", "{% endif %}", 5000),
        around("{% for a in [1] %}", "x", "{% endfor %}", 5000),
        around("{% for a in [1] %}", "x", "{% endfor %}", 140),
        around("{% macro a() %}", "x", "{% endmacro %}", 5000),
        around("{% filter upper %}", "x", "{% endfilter %}", 5000),
        around("{% with %}", "x", "{% endwith %}", 5000),
        around("{% set a %}", "x", "{% endset %}", 5000),
        around("{% call f() %}", "x", "{% endcall %}", 5000),
        around("{% generation %}", "x", "{% endgeneration %}", 5000),
        "{% if 0 %}".to_owned() + &"{% elif 0 %}".repeat(20_000) + "{% endif %}",
        "{% if 0 %}".to_owned() + &"{% elif 0 %}".repeat(250) + "{% endif %}",
        "{{ 'x' }}".repeat(20_000),
        "{% set x = 1 %}".repeat(15_000),
        "{#".repeat(50_000),
        "{{".repeat(50_000),
        "{%".repeat(50_000),
        "{".repeat(200_000),
        "}".repeat(200_000),
        "{% raw %}".repeat(20_000),
        "{{ 'never closed }}".to_owned(),
        "{{ \"\\".to_owned(),
        "{{ '\\x".to_owned(),
        "{{ '\\ud800' }}{{ '\\udc00\\ud800' }}{{ '\\U99999999' }}".to_owned(),
        "{{ 1e999999 }}{{ -1e999999 }}{{ 1e-999999 }}".to_owned(),
        "{% for %}{% endfor %}".to_owned(),
        "{% set %}".to_owned(),
        "{% set 1 = 2 %}".to_owned(),
        "{% endif %}{% else %}".to_owned(),
        "{{ }}{{}}{% %}".to_owned(),
        "\0\u{1}\u{7f}{{ '\0' }}\u{feff}".to_owned(),
    ];
    for (link, counts) in [
        ("not ", [40, 500, 50_000]),
        ("- ", [40, 900, 50_000]),
        ("+ ", [40, 900, 50_000]),
    ] {
        for count in counts {
            sources.push(format!("{{{{ {}1 }}}}", link.repeat(count)));
        }
    }
    for link in [
        " ~ 1",
        " + 1",
        " * 1",
        " ** 1",
        " % 2",
        " // 1",
        " == 1",
        " < 2",
        " and 1",
        " or 1",
        ".b",
        "[0]",
        "()",
        "|e",
        "|string",
        " is defined",
        " in [1]",
        " if 1 else 1",
        ", 1",
        ".a()",
        " is eq 1",
    ] {
        for count in [30, 250, 50_000] {
            sources.push(format!("{{{{ a{} }}}}", link.repeat(count)));
        }
    }
    sources
}
