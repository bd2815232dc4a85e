use super::*;
use crate::wire::{
    CommOpen, CompleteRequest, ExecuteRequest, HistoryRequest, InputReply, InspectRequest,
    IsCompleteRequest, ShutdownRequest,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use std::thread;
use std::time::Instant;

type Parts = Vec<Vec<u8>>;

/// As many cases as a run has time for: 10⁵ of each property with `BENCHBOOK_FULL=1`.
fn cases() -> ProptestConfig {
    let full = std::env::var_os("BENCHBOOK_FULL").is_some_and(|value| value == "1");
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(if full { 100_000 } else { 500 })
    }
}

fn parse(parts: Parts, key: &str) -> Result<Incoming, WireError> {
    Incoming::parse(parts, &Signer::new(key), &Replays::default())
}

/// A genuine message under the key `key`.
fn message(identities: Parts, json: [Value; 4], buffers: Parts) -> Parts {
    let json = json.map(|part| part.to_string().into_bytes());
    let signature = Signer::new("key").sign(json.iter().map(Vec::as_slice)).into_bytes();
    let mut parts = identities;
    parts.extend([DELIMITER.to_vec(), signature]);
    parts.extend(json);
    parts.extend(buffers);
    parts
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

/// Arbitrary JSON, with the words of the protocol among its keys and texts.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["tail", "range", "search", "c1"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![vec(inner.clone(), 0..4).prop_map(Value::from), object(inner)]
    })
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    const KEYS: &str = "code silent store_history user_expressions allow_stdin stop_on_error cursor_pos \
        detail_level hist_access_type output session start stop n pattern unique restart comm_id target_name data value msg_id msg_type other";
    let keys = prop::sample::select(KEYS.split_whitespace().collect::<Vec<_>>());
    vec((keys, inner), 0..8).prop_map(|entries| {
        Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    })
}

fn genuine() -> impl Strategy<Value = Parts> {
    let header = (".{1,20}", "[a-z_]{1,20}", ".{0,20}").prop_map(|(id, kind, session)| {
        json!({"msg_id": id, "msg_type": kind, "session": session, "date": "whenever"})
    });
    (vec(bytes(), 0..3), header, object(value()), object(value()), vec(bytes(), 0..3)).prop_map(
        |(identities, header, metadata, content, buffers)| {
            message(identities, [header, json!({}), metadata, content], buffers)
        },
    )
}

/// Something that can happen to the parts of a message.
#[derive(Clone, Debug)]
enum Damage {
    Remove(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Swap(prop::sample::Index, prop::sample::Index),
    Flip(prop::sample::Index, prop::sample::Index, u8),
    Cut(prop::sample::Index, prop::sample::Index),
    End(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        index().prop_map(Damage::Remove),
        (index(), prop_oneof![bytes(), Just(DELIMITER.to_vec())])
            .prop_map(|(at, part)| Damage::Insert(at, part)),
        (index(), index()).prop_map(|(a, b)| Damage::Swap(a, b)),
        (index(), index(), 0u8..8).prop_map(|(part, byte, bit)| Damage::Flip(part, byte, bit)),
        (index(), index()).prop_map(|(part, length)| Damage::Cut(part, length)),
        index().prop_map(Damage::End),
    ]
}

impl Damage {
    fn apply(self, parts: &mut Parts) {
        if parts.is_empty() {
            return;
        }
        let count = parts.len();
        match self {
            Self::Remove(at) => drop(parts.remove(at.index(count))),
            Self::Insert(at, part) => parts.insert(at.index(count + 1), part),
            Self::Swap(a, b) => parts.swap(a.index(count), b.index(count)),
            Self::Flip(part, byte, bit) => {
                let part = &mut parts[part.index(count)];
                if !part.is_empty() {
                    let byte = byte.index(part.len());
                    part[byte] ^= 1 << bit;
                }
            }
            Self::Cut(part, length) => {
                let part = &mut parts[part.index(count)];
                part.truncate(length.index(part.len() + 1));
            }
            Self::End(length) => parts.truncate(length.index(count + 1)),
        }
    }
}

/// Reads the content as every kind of request; none may panic.
fn read_as_everything(message: &Incoming) {
    let _ = message.content::<CommOpen>();
    let _ = message.content::<CompleteRequest>();
    let _ = message.content::<ExecuteRequest>();
    let _ = message.content::<HistoryRequest>();
    let _ = message.content::<InputReply>();
    let _ = message.content::<InspectRequest>();
    let _ = message.content::<IsCompleteRequest>();
    let _ = message.content::<ShutdownRequest>();
}

/// Checks a property in as many cases as there is time for, and says how many they were.
fn check<S: Strategy>(strategy: S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = cases();
    let (cases, begun) = (config.cases, Instant::now());
    if let Err(error) = TestRunner::new(config).run(&strategy, property) {
        panic!("{error}");
    }
    let name = thread::current().name().unwrap_or_default().to_owned();
    println!("{name}: {cases} cases in {:.1} s", begun.elapsed().as_secs_f64());
}

#[test]
fn a_genuine_message_is_read_as_it_was_written() {
    check(genuine(), |parts| {
        let delimiter = parts.iter().position(|part| part == DELIMITER).unwrap();
        let read = parse(parts.clone(), "key").unwrap();
        prop_assert_eq!(&read.identities, &parts[..delimiter]);
        prop_assert_eq!(&read.raw_header[..], &parts[delimiter + 2][..]);
        let header: Value = serde_json::from_slice(&parts[delimiter + 2]).unwrap();
        prop_assert_eq!(&header["msg_id"], &read.header.msg_id);
        prop_assert_eq!(&header["msg_type"], &read.header.msg_type);
        prop_assert_eq!(&header["session"], &read.header.session);
        prop_assert_eq!(&read.content, &parts[delimiter + 5]);
        prop_assert_eq!(&read.buffers, &parts[delimiter + 6..]);
        read_as_everything(&read);
        Ok(())
    });
}

#[test]
fn a_damaged_message_is_dropped_unless_what_is_signed_is_whole() {
    check((genuine(), vec(damage(), 1..4)), |(parts, damages)| {
        let mut damaged = parts.clone();
        damages.into_iter().for_each(|damage| damage.apply(&mut damaged));
        if let Ok(read) = parse(damaged, "key") {
            prop_assert!(parts.iter().any(|part| part[..] == read.raw_header[..]));
            prop_assert!(parts.contains(&read.content));
        }
        Ok(())
    });
}

#[test]
fn arbitrary_parts_are_dropped() {
    let part = prop_oneof![bytes(), Just(DELIMITER.to_vec()), Just(b"{}".to_vec())];
    check(vec(part, 0..12), |parts| {
        prop_assert!(parse(parts.clone(), "key").is_err());
        // Without a key whatever has the form of a message is one.
        if let Ok(read) = parse(parts, "") {
            read_as_everything(&read);
        }
        Ok(())
    });
}

#[test]
fn any_bytes_as_json_are_read_or_refused() {
    let content = prop_oneof![bytes(), value().prop_map(|value| value.to_string().into_bytes())];
    let text = r#"[{}\[\]",:0-9eE.\\u+-]{0,60}"#;
    check((bytes(), content, text), |(header, content, text)| {
        let good = br#"{"msg_id": "1", "msg_type": "execute_request"}"#.to_vec();
        for header in [header, text.clone().into_bytes(), good] {
            for content in [&content, text.as_bytes()] {
                let parts = [DELIMITER, b"", &header, b"{}", b"{}", content].map(<[u8]>::to_vec);
                if let Ok(read) = parse(parts.to_vec(), "") {
                    read_as_everything(&read);
                }
            }
        }
        Ok(())
    });
}

#[test]
fn what_is_wrong_is_said() {
    let error = |parts: Parts| parse(parts, "key").unwrap_err().to_string();
    let header = json!({"msg_id": "1", "msg_type": "x"});
    let good = message(Vec::new(), [header, json!({}), json!({}), json!({})], Vec::new());
    assert!(error(vec![b"x".to_vec()]).contains("<IDS|MSG>"));
    assert!(error(good[..4].to_vec()).ends_with("found 3"));
    assert!(error(vec![Vec::new(); 2000]).ends_with("found 2000"));
    let list =
        message(Vec::new(), [json!(["1", "x", ""]), json!({}), json!({}), json!({})], vec![]);
    assert!(error(list).contains("expected a header"));

    let (signer, replays) = (Signer::new("key"), Replays::default());
    assert!(Incoming::parse(good.clone(), &signer, &replays).is_ok());
    assert!(matches!(Incoming::parse(good, &signer, &replays), Err(WireError::Replayed)));
}

#[test]
fn a_message_that_is_too_large_is_dropped() {
    // Zeroed memory that is never touched costs nothing.
    let parts = vec![vec![0; MAX_BYTES / 2 + 1]; 1];
    let mut twice = parts.clone();
    twice.extend([vec![0; MAX_BYTES / 2 + 1]]);
    assert!(matches!(parse(parts, "key"), Err(WireError::NoDelimiter)));
    assert!(matches!(parse(twice, "key"), Err(WireError::TooLarge { .. })));
}
