//! An evaluator that does what its cells say, one command a line.

use benchbook_display::Bundle;
use benchbook_jupyter::{
    Cell, Completeness, Completions, Control, Detail, Evaluator, Executed, Expression, Failure,
    GpuMemory, Match, Outcome, Output, Payload, Stream,
};
use crossbeam_channel::{Receiver, Sender, unbounded};
use serde_json::Map;
use std::sync::Arc;

/// What tests see of the evaluator, and by what they steer it.
pub struct Remote {
    /// What the evaluator and the control were asked to do.
    pub events: Receiver<String>,
    /// Opens the gate at which the command `gate` waits.
    pub gate: Sender<()>,
}

pub struct Echo {
    events: Sender<String>,
    gate: Receiver<()>,
    stops: Receiver<&'static str>,
}

pub struct EchoControl {
    events: Sender<String>,
    stops: Sender<&'static str>,
}

pub fn echo() -> (Echo, Arc<EchoControl>, Remote) {
    let (events, seen) = unbounded();
    let (gate, gated) = unbounded();
    let (stops, stopped) = unbounded();
    let control = EchoControl { events: events.clone(), stops };
    let echo = Echo { events, gate: gated, stops: stopped };
    (echo, Arc::new(control), Remote { events: seen, gate })
}

impl Echo {
    fn command(&mut self, command: &str, rest: &str, output: &Output) -> Result<(), Failure> {
        match command {
            "print" => output.stream(Stream::Stdout, rest),
            "eprint" => output.stream(Stream::Stderr, rest),
            "prints" => {
                for n in 0..rest.parse::<usize>().unwrap() {
                    output.stream(Stream::Stdout, &format!("{n}\n"));
                }
            }
            // A progress bar in a loop; says how many milliseconds it took.
            "spin" => {
                let began = std::time::Instant::now();
                for n in 1..=rest.parse::<usize>().unwrap() {
                    output.stream(Stream::Stdout, &format!("{n}\r"));
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                self.events.send(began.elapsed().as_millis().to_string()).unwrap();
            }
            "threads" => std::thread::scope(|scope| {
                for name in ["a", "b"] {
                    scope.spawn(move || {
                        (0..100).for_each(|_| output.stream(Stream::Stdout, name));
                    });
                }
            }),
            "result" => output.result(&Bundle::text(rest)),
            "display" => output.display(&Bundle::text(rest).html("<b>&</b>"), None),
            // So many outputs of so many bytes.
            "displays" => {
                let (count, bytes) = rest.split_once(' ').unwrap();
                let bundle = Bundle::text("x".repeat(bytes.parse().unwrap()));
                (0..count.parse().unwrap()).for_each(|_| output.display(&bundle, None));
            }
            "show" => output.display(&Bundle::text("shown"), Some(rest)),
            "update" => output.update_display(&Bundle::text("updated"), rest),
            "clear" => output.clear(rest == "wait"),
            "transient" => output.transient(rest),
            "end" => output.end_transient(),
            "fail" => return Err(Failure::new("EchoError", rest)),
            "panic" => panic!("{rest}"),
            "input" | "password" => match output.input(rest, command == "password") {
                Ok(line) => output.stream(Stream::Stdout, &format!("<{line}>")),
                Err(error) => return Err(Failure::new("InputError", error.to_string())),
            },
            // Stops when it is interrupted or killed.
            "wait" => {
                let why = self.stopped(output);
                return Err(Failure::new("KeyboardInterrupt", why));
            }
            // Is interrupted, but does not mind.
            "shrug" => {
                self.stopped(output);
            }
            // Goes on when the test says so.
            "gate" => self.gate.recv().unwrap(),
            "" => {}
            other => return Err(Failure::new("NoSuchCommand", other)),
        }
        Ok(())
    }
}

impl Echo {
    /// Waits to be stopped. An interrupt that came before the cell's first command was forgotten
    /// with those that were meant for earlier cells, but it is known to the output.
    fn stopped(&self, output: &Output) -> &'static str {
        match self.stops.try_recv() {
            Err(_) if output.interrupted() => "interrupted",
            Err(_) => self.stops.recv().unwrap(),
            Ok(why) => why,
        }
    }
}

impl Evaluator for Echo {
    fn execute(&mut self, cell: &Cell, output: &Output) -> Executed {
        while self.stops.try_recv().is_ok() {}
        self.events.send(format!("execute {}", cell.code)).unwrap();
        for line in cell.code.lines() {
            let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
            if let Err(failure) = self.command(command, rest, output) {
                return Outcome::Error(failure).into();
            }
        }
        let evaluate = |(name, expression): (&String, &String)| {
            let value = match expression.strip_prefix("fail ") {
                Some(why) => Expression::Error(Failure::new("EchoError", why)),
                None => Expression::Ok(Bundle::text(expression.as_str())),
            };
            (name.clone(), value)
        };
        let mut metadata = Map::new();
        metadata.insert("compile_seconds".into(), 0.25.into());
        Executed {
            outcome: Outcome::Ok {
                user_expressions: cell.user_expressions.iter().map(evaluate).collect(),
                payload: match cell.code.as_str() {
                    "" => Vec::new(),
                    code => vec![Payload::SetNextInput { text: code.into(), replace: false }],
                },
            },
            metadata,
        }
    }

    /// The word before the cursor, said twice, by the evaluator. For `slow` it waits for the gate.
    fn complete(&mut self, code: &str, cursor: usize) -> Completions {
        if code.starts_with("slow") {
            self.events.send(format!("complete {code}")).unwrap();
            self.gate.recv().unwrap();
        }
        completions("evaluator", code, cursor)
    }

    fn inspect(&mut self, code: &str, cursor: usize, detail: Detail) -> Option<Bundle> {
        inspection("evaluator", code, cursor, detail)
    }

    fn shutdown(&mut self, restart: bool) {
        self.events.send(format!("shutdown {restart}")).unwrap();
    }
}

impl Control for EchoControl {
    fn interrupt(&self) {
        self.events.send("interrupt".into()).unwrap();
        self.stops.send("interrupted").unwrap();
    }

    fn kill(&self) {
        self.events.send("kill".into()).unwrap();
        self.stops.send("killed").unwrap();
    }

    fn is_complete(&self, code: &str) -> Completeness {
        match code.chars().last() {
            Some('{') => Completeness::Incomplete { indent: "    ".into() },
            Some(')') => Completeness::Invalid,
            Some(';') => Completeness::Complete,
            Some('!') => panic!("is_complete"),
            _ => Completeness::Unknown,
        }
    }

    fn complete(&self, code: &str, cursor: usize) -> Completions {
        completions("control", code, cursor)
    }

    fn inspect(&self, code: &str, cursor: usize, detail: Detail) -> Option<Bundle> {
        inspection("control", code, cursor, detail)
    }

    fn gpu_memory(&self) -> Option<GpuMemory> {
        Some(GpuMemory { used: 3, total: 4 })
    }
}

fn completions(by: &str, code: &str, cursor: usize) -> Completions {
    let start = code[..cursor].rfind(' ').map_or(0, |space| space + 1);
    let word = &code[start..cursor];
    assert_ne!(word, "panic");
    let matches = vec![
        Match { text: format!("{word}{word}"), kind: by.into() },
        Match { text: format!("{word}!"), kind: String::new() },
    ];
    Completions { matches, start, end: cursor }
}

fn inspection(by: &str, code: &str, cursor: usize, detail: Detail) -> Option<Bundle> {
    (!code.is_empty()).then(|| Bundle::text(format!("{by} {detail:?} {}", &code[..cursor])))
}
