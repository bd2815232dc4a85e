//! Limits for the nesting and length of code.
//!
//! Parsers recurse for each level of nesting, and so does code that later visits the types of
//! an expression. Without a limit, a text of some kilobytes would crash the process with a stack
//! overflow. So each text is checked here before another parser reads it, on a stack that is large
//! enough for any text of its length. Accepted text is read on the stack of [`deep`].

use benchbook_jupyter::Failure;
use ra_ap_parser::{Edition, LexedStr, Step, TopEntryPoint};
use std::io;
use std::thread;

/// How many levels the syntax tree of a cell may have. A pair of parentheses, a term of a sum and a call
/// in a chain are one level each, an `if` with its block three.
pub const LEVELS: usize = 2_000;

/// The maximum number of tokens in a cell.
pub const WORDS: usize = 500_000;

/// Stack size for functions that read code accepted by [`check`]. Only used pages take memory.
pub const STACK: usize = 512 << 20;

/// The least stack, in bytes, of the compiler and of threads that drop the syntax trees of code
/// accepted by [`check`].
pub const MIN_STACK: usize = 16 << 20;

/// A parser's stack per token; none adds more than a few calls.
const STACK_FOR_A_WORD: usize = if cfg!(debug_assertions) { 16 << 10 } else { 4 << 10 };

/// A limit that a text exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// The text is nested too deeply.
    #[error(
        "the cell is nested {0} levels deep, and at most {LEVELS} can be compiled (a pair of brackets, an operand and a chained call count as one level each, an `if` as three); move inner expressions into variables or functions"
    )]
    Levels(usize),
    /// The text is too long.
    #[error(
        "the cell has {0} tokens, and at most {WORDS} can be compiled; read large data from a file"
    )]
    Words(usize),
    /// There is no memory to check the text.
    #[error("the system has no memory left to parse the cell; free some and run it again")]
    Memory,
}

impl From<Limit> for Failure {
    fn from(limit: Limit) -> Self {
        Self::new("CompileError", limit.to_string())
    }
}

/// Checks that a text is within the limits.
///
/// # Errors
/// The exceeded limit.
pub fn check(code: &str) -> Result<(), Limit> {
    let code = format!("fn f(){{{code}\n}}");
    let lexed = LexedStr::new(Edition::Edition2024, &code);
    let words = (0..lexed.len()).filter(|at| !lexed.kind(*at).is_trivia()).count();
    if words > WORDS {
        return Err(Limit::Words(words));
    }
    // Each level needs at least one token, and each token adds at most a few levels.
    if words < LEVELS / 8 {
        return Ok(());
    }
    let levels = on_stack((4 << 20) + words * STACK_FOR_A_WORD, || levels(&lexed));
    match levels.map_err(|_| Limit::Memory)? {
        levels if levels > LEVELS => Err(Limit::Levels(levels)),
        _ => Ok(()),
    }
}

/// Runs `work` on a stack for code accepted by [`check`]. `None` if there is no memory for the stack.
pub fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    on_stack(STACK, work).inspect_err(|error| tracing::error!("no deep stack: {error}")).ok()
}

fn on_stack<T: Send>(size: usize, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(size).spawn_scoped(scope, work)?;
        thread.join().map_err(|_| io::Error::other("the parser panicked"))
    })
}

/// The depth of the syntax tree, computed without a tree: rust-analyzer drops trees on a thread of
/// its own, whose stack a deep tree would overflow.
fn levels(lexed: &LexedStr<'_>) -> usize {
    let parsed = TopEntryPoint::SourceFile.parse(&lexed.to_input(Edition::Edition2024));
    let (mut level, mut deepest) = (0_usize, 0);
    for step in parsed.iter() {
        match step {
            Step::Enter { .. } => level += 1,
            Step::Exit => level = level.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(level);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_too_deep_for_the_parser() {
        for part in [
            "(",
            "[",
            "{",
            "!",
            "&",
            "-",
            "*",
            "|| ",
            "if true {",
            "return ",
            "a=",
            "a..",
            "x::<",
            "Box<",
            "fn f(){",
            "m!(",
            "&mut ",
            "if a {} else ",
            "#[a(",
            "'a: loop {",
        ] {
            assert!(check(&part.repeat(20_000)).is_err(), "{part}");
        }
        // Text that does not continue its nesting may be within the limits; an overflow would end this process.
        for part in
            [".f(", ".clone()", "?", " as u8 ", "match a { _ => ", "let a = ", "a::{", "mod m {"]
        {
            let _ = check(&part.repeat(20_000));
        }
    }

    #[test]
    fn what_people_write_is_within_the_limits() {
        let sum = vec!["1"; 1_000].join(" + ");
        let numbers = format!("vec![{}]", "0.25, ".repeat(100_000));
        let arms: String = (0..5_000).map(|i| format!("{i} => println!(\"arm {i}\"),\n")).collect();
        let text = format!("let text = \"{}\";", "lorem ipsum (".repeat(30_000));
        let lines = "let a = f(1, [2, 3]).g(|x| x + 1);\n".repeat(5_000);
        for code in [sum, numbers, format!("match x {{\n{arms}_ => {{}} }}"), text, lines] {
            assert_eq!(check(&code), Ok(()), "{}", &code[..40]);
        }
    }

    #[test]
    fn the_limit_is_named() {
        let chain = format!("let a = b{};", ".clone()".repeat(2_500));
        let message = check(&chain).unwrap_err().to_string();
        assert!(
            message.contains("2500") || message.contains("25") && message.contains("2000"),
            "{message}"
        );
        assert!(matches!(check(&"a ".repeat(WORDS + 1)), Err(Limit::Words(_))));
    }
}
