//! Keeps the variables that a failed cell has not moved yet.
//!
//! evcxr's code around a cell is a closure that may unwind. It captures a variable whole if
//! any statement consumes it, so a failure before that statement drops the variable, too.
//! evcxr detects the move from a failed build (E0382 where it puts the variable back), and builds again
//! without putting it back.
//!
//! In the rewritten code the variable stays outside the closure. It is handed over immediately before the statement
//! that consumes it, as a new binding of the same name. A variable that was not handed over is put back if the cell
//! failed, and dropped otherwise, as before:
//!
//! ```text
//! let x = store.take_variable::<T>("x");
//! catch_unwind(|| {
//!     first();       let x = unsafe { store.hand_over("x", &raw const x) };
//!     consume(x);
//! });
//!                    store.put_back("x", false, x); store
//! ```
//!
//! A variable that the cell only rebinds stays in the store: `let x = f();` replaces it
//! there, or leaves it if `f` fails. Its lines become empty, and `store.stay::<T>("x", false)` at the end
//! reports it.
//!
//! A `return` would leave a cell before its new variables are in the store, although evcxr assumes that they are.
//! `store.reached_end()` after them and `store.check_end()` make such a cell fail.
//!
//! All other code is inserted at the ends of lines, so the user's statements keep their positions. A variable is
//! only handed over if the move is rustc's only error in the cell, and rustc has named the position
//! of the move. If the rewritten cell does not compile, evcxr's own text is
//! compiled.

use crate::cargo::{read_json, write_json};
use crate::diagnostic::Diagnostic;
use crate::evaluate::SHOW;
use crate::evcxr_contract::{
    AWAIT, BEGIN, END, FUTURE, FUTURE_ENDS, Handled, Handling, LAST, QUESTION_MARK, STORE, handled,
};
use crate::parsed::{edited, words};
use ra_ap_syntax::ast::{self, AstNode, HasName};
use ra_ap_syntax::{Edition, SourceFile, SyntaxNode};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;

/// The lines on which the cell moves variables, by variable, counted from the cell's first line; a
/// file in the crate's folder, kept between the builds of one cell.
pub const MOVED: &str = "moved";

/// The lines on which a variable is moved according to the compiler, by variable.
type Moves = BTreeMap<String, BTreeSet<usize>>;

/// How many rounds of newly found moved variables are tried.
const ROUNDS: usize = 4;

/// Compiles evcxr's source so that a failing cell keeps as many variables as possible. `compile`
/// writes the text to the compiler's input file.
pub(super) fn compile(
    source: &str,
    mut compile: impl FnMut(&str) -> anyhow::Result<Output>,
) -> anyhow::Result<Output> {
    let Some(cell) = Cell::of(source) else { return compile(source) };
    let mut moves: Moves = read_json(MOVED.as_ref());
    for _ in 0..ROUNDS {
        let rewritten = cell.rewritten(&moves);
        let output = compile(rewritten.as_deref().unwrap_or(source))?;
        if output.status.success() || output.status.signal().is_some() {
            return Ok(output);
        }
        let Some(found) = cell.moves(&output.stderr) else {
            // Other errors, which evcxr reports itself.
            return if rewritten.is_some() { compile(source) } else { Ok(output) };
        };
        let expected = found.keys().any(|name| cell.expected.contains(&name.as_str()));
        let mut news = false;
        for (name, lines) in found {
            for line in lines {
                news |= moves.entry(name.clone()).or_default().insert(line);
            }
        }
        // If the file cannot be written, a failing cell loses more variables.
        let _ = write_json(MOVED.as_ref(), &moves);
        if expected {
            // evcxr must get the error to know that these variables are moved.
            return Ok(output);
        }
        if !news || rewritten.is_none() {
            break;
        }
    }
    compile(source)
}

/// evcxr's code around a cell, in parts.
struct Cell<'a> {
    source: &'a str,
    /// The bytes of the user's statements and of the code that stores new variables.
    body: Range<usize>,
    /// The parsed `body`.
    block: ast::StmtList,
    /// The new variables stored within `body`.
    new: BTreeSet<&'a str>,
    /// The variables taken from the store. evcxr expects only those in `expected` back.
    taken: Vec<Taken<'a>>,
    expected: Vec<&'a str>,
    /// The lines, from 1, that store variables; the last is the line of [`LAST`].
    puts: BTreeMap<usize, &'a str>,
}

struct Taken<'a> {
    variable: Handled<'a>,
    /// The bytes of the lines that check the variable's type and take it.
    lines: Vec<Range<usize>>,
}

/// The lines that check or take a variable, and how they take it.
fn taken(text: &str) -> Vec<Taken<'_>> {
    let mut found: Vec<Taken<'_>> = Vec::new();
    let mut checked = BTreeMap::new();
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        let range = begin..begin + line.trim_end_matches('\n').len();
        begin += line.len();
        let Some(variable) = handled(&text[range.clone()]) else { continue };
        match variable.handling {
            Handling::Check => {
                checked.insert(variable.name, range);
            }
            Handling::Take => {
                let lines = checked.remove(variable.name).into_iter().chain([range]).collect();
                found.push(Taken { variable, lines });
            }
            Handling::Put => {}
        }
    }
    found
}

/// The variable that a line stores.
fn put(line: &str) -> Option<&str> {
    handled(line).filter(|line| line.handling == Handling::Put).map(|line| line.name)
}

impl<'a> Cell<'a> {
    /// `None` if nothing is caught, or if evcxr's code is not in the known form.
    fn of(source: &'a str) -> Option<Self> {
        let begin = source.find(BEGIN)? + BEGIN.len();
        let end = begin + source[begin..].rfind(END)?;
        let body = within(source, begin..end)?;
        let (before, after) = (&source[..begin], &source[end + END.len()..]);
        let first = source[..end + END.len()].matches('\n').count() + 1;
        let puts = after.lines().enumerate();
        let puts = puts.filter_map(|(at, line)| Some((first + at, put(line)?)));
        let puts: BTreeMap<usize, &str> = puts.collect();
        Some(Self {
            source,
            block: parse(&source[body.clone()])?,
            new: source[body.clone()].lines().filter_map(put).collect(),
            body,
            taken: taken(before),
            expected: puts.values().copied().collect(),
            puts,
        })
    }

    /// The variables that the cell consumes or that evcxr gets back only if the cell fails.
    fn gone(&self) -> impl Iterator<Item = &Taken<'a>> {
        self.taken.iter().filter(|taken| !self.expected.contains(&taken.variable.name))
    }

    /// Whether a `return` may leave the cell before its variables are stored.
    fn may_return(&self) -> bool {
        !self.new.is_empty() && names(self.block.syntax(), "return")
    }

    /// The source in which a failing cell keeps its unmoved variables; `None` if no change is needed.
    fn rewritten(&self, moves: &Moves) -> Option<String> {
        let last = self.source.len() - LAST.len();
        let may_return = self.may_return();
        if !self.source.ends_with(LAST) || (self.gone().next().is_none() && !may_return) {
            return None;
        }
        let mut edits = BTreeMap::<usize, (usize, String)>::new();
        let mut end = String::new();
        if may_return {
            edits.insert(self.body.end, (self.body.end, format!("{STORE}.reached_end(); ")));
            end.push_str(&format!("{STORE}.check_end(); "));
        }
        for Taken { variable: Handled { name, kind, mutable, .. }, lines } in self.gone() {
            if self.only_binds(name) {
                end.push_str(&format!("{STORE}.stay::<{kind}>(stringify!({name}), {mutable}); "));
                edits.extend(lines.iter().map(|line| (line.start, (line.end, String::new()))));
                continue;
            }
            end.push_str(&format!("{STORE}.put_back(stringify!({name}), {mutable}, {name}); "));
            let before = moves.get(*name).and_then(|lines| self.before(name, lines));
            let Some(before) = before else { continue };
            let mutability = if *mutable { "mut " } else { "" };
            let (_, inserted) = edits.entry(before).or_insert((before, String::new()));
            inserted.push_str(&format!(
                " let {mutability}{name} = unsafe {{ {STORE}.hand_over(stringify!({name}), &raw const {name}) }};"
            ));
        }
        edits.insert(last, (last, end));
        let edits = edits.into_iter().map(|(start, (end, new))| (start..end, new));
        Some(edited(self.source, edits))
    }

    /// Whether the first statement that names the variable rebinds it without using it, and the new
    /// variable is stored.
    fn only_binds(&self, name: &str) -> bool {
        if !self.new.contains(name) {
            return false;
        }
        let first = self.block.syntax().children().find(|node| names(node, name));
        let Some(binding) = first.and_then(ast::LetStmt::cast) else { return false };
        let text = binding.syntax().text().to_string();
        let Some(pattern) = binding.pat() else { return false };
        let mut bound = pattern.syntax().descendants().filter_map(ast::IdentPat::cast);
        bound.any(|bound| bound.name().is_some_and(|bound| bound.text() == name))
            && words(&text).filter(|word| *word == name).count() == 1
    }

    /// The byte before the innermost statement that contains all lines on which the variable is moved.
    ///
    /// A statement within a branch qualifies only if no code after the branch names the variable,
    /// and if the insertion moves no code of the user.
    fn before(&self, name: &str, lines: &BTreeSet<usize>) -> Option<usize> {
        let covers = |node: &SyntaxNode| {
            let range = node.text_range();
            let line = |at| self.source[self.body.start..self.place(at)].matches('\n').count();
            let range = line(range.start())..=line(range.end());
            lines.iter().all(|line| range.contains(line))
        };
        let mut list = self.block.clone();
        let mut place = None;
        loop {
            let statements: Vec<SyntaxNode> = list.syntax().children().collect();
            let Some(at) = statements.iter().position(covers) else { return place };
            let before = self.end_before(&list, &statements, at);
            let rest = self.source[before..].lines().next().unwrap_or_default().trim_start();
            if place.is_some() && !(rest.is_empty() || rest.starts_with("//")) {
                return place;
            }
            place = Some(before);
            if statements[at + 1..].iter().any(|later| names(later, name)) {
                return place;
            }
            let mut inside = statements[at].descendants().filter_map(ast::StmtList::cast);
            let branch = inside.find(|inner| covers(inner.syntax()));
            let runs_once = |inner: &ast::StmtList| {
                let nodes = inner.syntax().ancestors();
                let mut between = nodes.take_while(|node| node != list.syntax());
                let Some(mut inside) = between.next() else { return false };
                between.all(|node| {
                    let is_branch = is_branch(&node, &inside);
                    inside = node;
                    is_branch
                })
            };
            match branch.filter(runs_once) {
                Some(inner) => list = inner,
                None => return place,
            }
        }
    }

    /// The end of the code before a statement in a list, on the same line or another.
    fn end_before(&self, list: &ast::StmtList, statements: &[SyntaxNode], at: usize) -> usize {
        match (at.checked_sub(1), list.l_curly_token()) {
            (Some(before), _) => self.place(statements[before].text_range().end()),
            (None, Some(brace)) if *list != self.block => self.place(brace.text_range().end()),
            (None, _) => self.body.start - 1,
        }
    }

    /// Maps a place in the parsed text to a byte of the source.
    fn place(&self, at: ra_ap_syntax::TextSize) -> usize {
        self.body.start + usize::from(at) - OPEN.len()
    }

    /// The variables that cannot be stored again according to the compiler, with the lines that
    /// move them; `None` for other messages or no message.
    fn moves(&self, messages: &[u8]) -> Option<Moves> {
        let begin = self.source[..self.body.start].matches('\n').count() + 1;
        let end = self.source[..self.body.end].matches('\n').count() + 1;
        let last =
            self.source[..self.source.len().checked_sub(LAST.len())?].matches('\n').count() + 1;
        let mut moves = Moves::new();
        for message in Diagnostic::all(messages) {
            if message.level != "error" || message.message.starts_with("aborting due to") {
                continue;
            }
            // Other parts of a partially moved value may be borrowed.
            if message.message.contains("partially moved") || message.code() != "E0382" {
                return None;
            }
            let place = message.primary()?.line_start;
            let name = match self.puts.get(&place) {
                Some(name) => *name,
                None if place == last => message.message.split('`').nth(1)?,
                None => return None,
            };
            let lines = message.spans.iter().filter(|span| !span.is_primary);
            let lines =
                lines.map(|span| span.line_start).filter(|line| (begin..end).contains(line));
            moves.entry(name.to_owned()).or_default().insert(lines.min()? - begin);
        }
        (!moves.is_empty()).then_some(moves)
    }
}

/// The bytes of the innermost block that evcxr puts around the user's statements.
fn within(source: &str, outer: Range<usize>) -> Option<Range<usize>> {
    let text = &source[outer.clone()];
    let (begin, ends): (usize, &[&str]) = if text.starts_with(QUESTION_MARK.0) {
        (QUESTION_MARK.0.len(), &[QUESTION_MARK.1])
    } else if let Some(at) = text.find(FUTURE).filter(|_| text.starts_with(AWAIT)) {
        (at + FUTURE.len(), &FUTURE_ENDS)
    } else {
        (0, &[""])
    };
    let end = ends.iter().find(|end| text.ends_with(**end))?;
    Some(outer.start + begin..outer.end - end.len())
}

/// The text before a block that is parsed.
const OPEN: &str = "fn f(){";

/// The statements of a block without its braces; `None` if they do not parse. The macro that shows
/// the last expression is removed, so that the parser finds the expression.
fn parse(block: &str) -> Option<ast::StmtList> {
    let block = block.replace(SHOW, &format!("{:1$}(", "", SHOW.len() - 1));
    let parsed = SourceFile::parse(&format!("{OPEN}{block}}}"), Edition::Edition2024);
    if !parsed.errors().is_empty() {
        return None;
    }
    parsed.tree().syntax().children().find_map(ast::Fn::cast)?.body()?.stmt_list()
}

/// Whether code may name a variable, directly or in a format string.
fn names(node: &SyntaxNode, name: &str) -> bool {
    words(&node.text().to_string()).any(|word| word == name)
}

/// Whether code inside a node runs at most once, in place, and the rest of the node does not run after it.
fn is_branch(node: &SyntaxNode, inside: &SyntaxNode) -> bool {
    use ra_ap_syntax::SyntaxKind::{EXPR_STMT, LET_STMT, MATCH_ARM, MATCH_ARM_LIST, PAREN_EXPR};
    if let Some(block) = ast::BlockExpr::cast(node.clone()) {
        return block.modifier().is_none();
    }
    if let Some(choice) = ast::IfExpr::cast(node.clone()) {
        return choice.condition().is_none_or(|condition| condition.syntax() != inside);
    }
    if ast::MatchExpr::can_cast(node.kind()) {
        return inside.kind() == MATCH_ARM_LIST;
    }
    [EXPR_STMT, LET_STMT, MATCH_ARM, MATCH_ARM_LIST, PAREN_EXPR].contains(&node.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// evcxr's code around statements: `x` and `y` are in the store, and `puts` are stored again.
    fn around(statements: &str, puts: &[&str]) -> String {
        let puts: String = puts.iter().copied().map(put_line).collect();
        let (open, close) = QUESTION_MARK;
        format!(
            "vars_ok &= evcxr_variable_store.check_variable::<String>(stringify!(x));\n\
             let x = evcxr_variable_store.take_variable::<String>(stringify!(x));\n\
             let mut y = evcxr_variable_store.take_variable::<String>(stringify!(y));\n\
             {BEGIN}{open}{statements}{close}{END}{puts}{LAST}"
        )
    }

    fn put_line(name: &str) -> String {
        format!("evcxr_variable_store.put_variable::<String>(stringify!({name}), {name});\n")
    }

    fn moves(places: &[(&str, usize)]) -> Moves {
        let mut moves = Moves::new();
        for (name, line) in places {
            moves.entry((*name).to_owned()).or_default().insert(*line);
        }
        moves
    }

    /// The cell's own lines after rewriting, with `<-` where `x` is handed over.
    fn handed_over(statements: &str, lines: &[usize]) -> String {
        let source = around(statements, &["y"]);
        let places: Vec<_> = lines.iter().map(|line| ("x", *line)).collect();
        let rewritten = Cell::of(&source).unwrap().rewritten(&moves(&places)).unwrap();
        let text = rewritten.replace(HAND_OVER, "<-");
        let begin = text.find("EvcxrUserCodeError>").unwrap();
        let begin = begin + text[begin..].find('{').unwrap() + 1;
        text[begin..text.find("Ok(())})").unwrap()].to_owned()
    }

    fn message(code: &str, lines: &[usize]) -> String {
        let spans = lines
            .iter()
            .enumerate()
            .map(|(at, line)| serde_json::json!({ "file_name": "", "line_start": line, "line_end": line, "column_start": 1, "column_end": 1, "text": [], "is_primary": at == 0 }));
        let spans: Vec<_> = spans.collect();
        let text = "use of moved value: `x`";
        serde_json::json!({ "level": "error", "message": text, "code": { "code": code }, "spans": spans })
            .to_string()
    }

    const HAND_OVER: &str =
        " let x = unsafe { evcxr_variable_store.hand_over(stringify!(x), &raw const x) };";
    const PUT_BACK: &str = "evcxr_variable_store.put_back(stringify!(x), false, x); ";

    #[test]
    fn a_variable_is_handed_over_before_the_statement_that_moves_it() {
        let source = around("f(&x); // why\ndrop(x);\n", &["y"]);
        let cell = Cell::of(&source).unwrap();
        let rewritten = cell.rewritten(&moves(&[("x", 1)])).unwrap();
        let expected = source
            .replace("f(&x);", &format!("f(&x);{HAND_OVER}"))
            .replace(LAST, &format!("{PUT_BACK}{LAST}"));
        assert_eq!(rewritten, expected);
        assert_eq!(handed_over("drop(x);\n", &[0]), "<-\ndrop(x);\n");
    }

    #[test]
    fn a_branch_gets_the_variable_if_nothing_behind_it_could_name_it() {
        let arms = "match f() {\n Ok(v) => {\n  g();\n  v.h(x);\n }\n Err(_) => panic!(),\n}\n";
        assert_eq!(handed_over(arms, &[3]), format!("\n{}", arms.replace("g();", "g();<-")));
        let first = "a();\nif b {\n drop(x);\n}\n";
        assert_eq!(handed_over(first, &[2]), format!("\n{}", first.replace("b {", "b {<-")));
        for statements in [
            "if b {\n drop(x);\n}\nx = c();\n",
            "for i in b {\n drop(x);\n break;\n}\n",
            "let f = || {\n drop(x);\n};\n",
            "b(async {\n drop(x);\n});\n",
            "match {\n let r = f(x);\n r\n} {\n Some(v) => x = v,\n None => {}\n}\n",
            "if {\n f(x)\n} {\n x = b();\n}\n",
            "match a {\n Some(v) if {\n f(x)\n} => x = v,\n _ => {}\n}\n",
        ] {
            let line = statements.lines().position(|line| line.contains("(x)")).unwrap();
            assert_eq!(handed_over(statements, &[line]), format!("<-\n{statements}"));
        }
        let shown = "benchbook::show!(if b {\n drop(x);\n});\n";
        assert_eq!(handed_over(shown, &[1]), format!("\n{}", shown.replace("b {", "b {<-")));
        let both = "if b {\n drop(x);\n} else {\n drop(x);\n}\n";
        assert_eq!(handed_over(both, &[1, 3]), format!("<-\n{both}"));
        let one_line = "if b { a(); drop(x); }\n";
        assert_eq!(handed_over(one_line, &[0]), format!("<-\n{one_line}"), "columns stay");
    }

    #[test]
    fn a_binding_of_the_same_name_leaves_the_old_value_where_it_is() {
        for statements in [
            "let x = f(&x);\n",
            "f(\"{x}\"); let x = 1;\n",
            "let Some(x) = f() else { x };\n",
            "if let x = 1 {}\n",
            "{ let x = 1; }\n",
            "m!(x); let x = 1;\n",
        ] {
            let source = around(&format!("{statements}{}", put_line("x")), &["y"]);
            let rewritten = Cell::of(&source).unwrap().rewritten(&moves(&[])).unwrap();
            assert_eq!(
                rewritten,
                source.replace(LAST, &format!("{PUT_BACK}{LAST}")),
                "{statements}"
            );
        }
    }

    #[test]
    fn a_variable_that_is_only_bound_anew_stays_in_the_store() {
        for statements in [
            "let x = 1;\n",
            "f();\nlet (a, mut x): (A, B) = f();\nx.push(1);\n",
            "let x = f(|y| y); g(&x);\n",
        ] {
            let source = around(&format!("{statements}{}", put_line("x")), &["y"]);
            let rewritten = Cell::of(&source).unwrap().rewritten(&moves(&[])).unwrap();
            let take = source.lines().find(|line| line.starts_with("let x = evcxr")).unwrap();
            let check = "vars_ok &= evcxr_variable_store.check_variable::<String>(stringify!(x));";
            let stays = "evcxr_variable_store.stay::<String>(stringify!(x), false); ";
            let expected = source
                .replace(take, "")
                .replace(check, "")
                .replace(LAST, &format!("{stays}{LAST}"));
            assert_eq!(rewritten, expected, "{statements}");
        }
        // The new `x` is moved on and not stored, so the old `x` is dropped.
        let source = around("let x = f(); g(x);\n", &["y"]);
        let rewritten = Cell::of(&source).unwrap().rewritten(&moves(&[])).unwrap();
        assert_eq!(rewritten, source.replace(LAST, &format!("{PUT_BACK}{LAST}")));
    }

    #[test]
    fn a_return_is_noticed_where_a_cell_has_variables_to_keep() {
        let statements = format!("if f() {{ return Ok(()) }} let z = 1;\n{}", put_line("z"));
        let source = around(&statements, &["x", "y"]);
        let close = QUESTION_MARK.1;
        let expected = source
            .replace(close, &format!("evcxr_variable_store.reached_end(); {close}"))
            .replace(LAST, &format!("evcxr_variable_store.check_end(); {LAST}"));
        assert_eq!(Cell::of(&source).unwrap().rewritten(&moves(&[])), Some(expected));
        let source = around("if f() { return Ok(()) }\n", &["x", "y"]);
        assert_eq!(Cell::of(&source).unwrap().rewritten(&moves(&[])), None);
    }

    #[test]
    fn a_cell_that_keeps_all_is_left_alone() {
        let source = around("f(&x);\n", &["x", "y"]);
        assert_eq!(Cell::of(&source).unwrap().rewritten(&moves(&[])), None);
        assert!(Cell::of("fn f() {}\n").is_none());
    }

    #[test]
    fn the_compiler_says_where_a_variable_is_moved() {
        let source = around("f();\n\ndrop(x);\n", &["x", "y"]);
        let line = |text: &str| source[..source.find(text).unwrap()].matches('\n').count() + 1;
        let put = line("evcxr_variable_store.put_variable::<String>(stringify!(x)");
        let cell = Cell::of(&source).unwrap();
        let here = message("E0382", &[put, line("AssertUnwindSafe"), line("drop(x)"), 1]);
        assert_eq!(cell.moves(here.as_bytes()), Some(moves(&[("x", 2)])));
        let other = format!("{here}\n{}", message("E0382", &[line("drop(x)")]));
        assert_eq!(cell.moves(other.as_bytes()), None, "the user's own error");
        assert_eq!(cell.moves(message("E0505", &[put, line("drop(x)")]).as_bytes()), None);
        let in_part = here.replace("use of moved", "use of partially moved");
        assert_eq!(cell.moves(in_part.as_bytes()), None, "another part may be lent");
        assert_eq!(cell.moves(b""), None);
    }
}
