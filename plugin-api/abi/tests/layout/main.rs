//! Compares both sides of the ABI with one table, `layout.txt`: the Rust mirror, and the headers as
//! C and C++ compilers read them. A line of the table never changes after a release; new lines are
//! added at a struct's end.
//!
//! To write the table anew after a change of the draft: `POLYPORT_BLESS=1 cargo test -p
//! polyport-abi`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod mirror;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const HEADERS: [&str; 8] = [
    "version.h",
    "types.h",
    "host.h",
    "stream.h",
    "datagram.h",
    "plugin.h",
    "entry.h",
    "polyport.h",
];

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn include() -> PathBuf {
    home().join("../include")
}

/// The expected table: struct, field, offset, size.
fn computed() -> String {
    let mut text =
        String::from("# struct field offset size, on 64-bit machines; checked by tests/layout\n");
    for line in mirror::lines() {
        let (name, field) = (line.name, line.field);
        writeln!(text, "{name} {field} {} {}", line.offset, line.size).unwrap();
    }
    text
}

#[test]
fn layout_of_the_mirror_matches_the_table() {
    let path = home().join("layout.txt");
    if std::env::var_os("POLYPORT_BLESS").is_some() {
        fs::write(&path, computed()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    assert_eq!(committed, computed(), "the mirror and layout.txt differ");
}

/// One assertion for each line of the committed table.
fn assertions(assert: &str) -> String {
    let mut code = String::from("#include <polyport/polyport.h>\n");
    for line in fs::read_to_string(home().join("layout.txt"))
        .unwrap()
        .lines()
    {
        let parts: Vec<&str> = line.split(' ').collect();
        match *parts.as_slice() {
            ["#", ..] => {}
            [name, "-", _, size] => {
                writeln!(code, "{assert}(sizeof({name}) == {size}, \"{name}\");").unwrap();
            }
            [name, field, offset, size] => {
                let what = format!("\"{name}.{field}\"");
                writeln!(
                    code,
                    "{assert}(offsetof({name}, {field}) == {offset}, {what});"
                )
                .unwrap();
                let of = format!("sizeof((({name} *)0)->{field})");
                writeln!(code, "{assert}({of} == {size}, {what});").unwrap();
            }
            _ => panic!("not a line of the table: {line}"),
        }
    }
    code
}

/// Every warning that an author may enable is an error.
const C: &[&str] = &[
    "-std=c99",
    "-pedantic",
    "-Wall",
    "-Wextra",
    "-Wpadded",
    "-Werror",
];
const CXX: &[&str] = &[
    "-std=c++11",
    "-pedantic",
    "-Wall",
    "-Wextra",
    "-Wpadded",
    "-Werror",
];

fn compile(compiler: &str, flags: &[&str], name: &str, code: &str) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let source = folder.join(name);
    fs::write(&source, code).unwrap();
    let object = source.with_extension(format!("{}.o", name.rsplit('.').next().unwrap()));
    run(compiler, flags, &source, &object);
}

fn run(compiler: &str, flags: &[&str], source: &Path, into: &Path) {
    let out = Command::new(compiler)
        .args(flags)
        .arg("-I")
        .arg(include())
        .args([
            OsStr::new("-c"),
            source.as_os_str(),
            OsStr::new("-o"),
            into.as_os_str(),
        ])
        .output()
        .unwrap_or_else(|why| panic!("{compiler} is needed for this test: {why}"));
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

#[test]
fn layout_of_the_headers_in_c_matches_the_table() {
    // Static assertions are an extension in C99, so they are in a file of their own, without
    // `-pedantic`.
    let flags: Vec<&str> = C
        .iter()
        .copied()
        .filter(|flag| *flag != "-pedantic")
        .collect();
    compile("cc", &flags, "layout.c", &assertions("_Static_assert"));
    compile("cc", C, "pedantic.c", "#include <polyport/polyport.h>\n");
}

#[test]
fn layout_of_the_headers_in_cxx_matches_the_table() {
    compile("c++", CXX, "layout.cc", &assertions("static_assert"));
}

#[test]
fn headers_compile_alone_and_twice() {
    for header in HEADERS {
        let code =
            format!("#include <polyport/{header}>\n#include <polyport/{header}>\nextern int x;\n");
        compile("cc", C, &format!("alone-{header}.c"), &code);
        compile("c++", CXX, &format!("alone-{header}.cc"), &code);
    }
    let there = fs::read_dir(include().join("polyport")).unwrap();
    let there = there
        .filter(|entry| entry.as_ref().unwrap().path().is_file())
        .count();
    assert_eq!(there, HEADERS.len(), "a header is missing in this test");
}

#[test]
fn examples_in_c_compile_without_a_warning() {
    let source = home().join("../examples/echo.c");
    let object = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("echo.o");
    run("cc", C, &source, &object);
    let moving = home().join("../examples/tally.c");
    for version in ["-DVERSION=1", "-DVERSION=2"] {
        run("cc", &[C, &[version]].concat(), &moving, &object);
    }
    let lines = fs::read_to_string(source).unwrap().lines().count();
    assert!(
        lines <= 40,
        "echo.c has {lines} lines: if it grows, the API is wrong"
    );
    let lines = fs::read_to_string(home().join("../examples/echo.rs"))
        .unwrap()
        .lines()
        .count();
    assert!(
        lines <= 40,
        "echo.rs has {lines} lines: if it grows, the API is wrong"
    );
}

/// Each function pointer of a struct is tagged with its context.
#[test]
fn headers_tag_each_function_with_its_context() {
    const TAGS: [&str; 5] = ["[load]", "[ctl]", "[io]", "[any]", "[pure]"];
    let mut functions = 0;
    for header in HEADERS {
        let text = fs::read_to_string(include().join("polyport").join(header)).unwrap();
        for declaration in declarations(&text) {
            functions += 1;
            // `[any] until return` is narrower, and allowed.
            let tagged = TAGS.iter().any(|tag| declaration.contains(tag));
            assert!(tagged, "{header}: no context on\n{declaration}");
        }
    }
    assert_eq!(
        functions,
        mirrored(),
        "functions in the headers, and in the mirror"
    );
}

/// The number of function pointers in the structs of the mirror.
fn mirrored() -> usize {
    const FUNCTIONS: [&str; 7] = [
        "extern \"C\" fn",
        "PpHook",
        "PpOpen",
        "PpImport",
        "PpNotify",
        "PpCallback",
        "PpOnDatagrams",
    ];
    let mut functions = 0;
    for file in ["types", "host", "stream", "datagram", "plugin", "entry"] {
        let text = fs::read_to_string(home().join(format!("src/{file}.rs"))).unwrap();
        for field in text.split("\n    pub ").skip(1) {
            let field = field
                .split("\n}")
                .next()
                .unwrap()
                .split("///")
                .next()
                .unwrap();
            functions += usize::from(FUNCTIONS.iter().any(|name| field.contains(name)));
        }
    }
    functions
}

/// Function pointers with the comment at the end of their last line.
fn declarations(header: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in header.lines() {
        let starts = !line.trim_start().starts_with(['*', '/', '#'])
            && line
                .split("/*")
                .next()
                .is_some_and(|code| code.contains("(*"));
        if starts && open.is_none() {
            open = Some(String::new());
        }
        let Some(declaration) = open.as_mut() else {
            continue;
        };
        declaration.push_str(line);
        declaration.push('\n');
        if line.contains(';') {
            found.extend(open.take());
        }
    }
    found
}
