//! What becomes of a message, for whatever the scanners say or do not say.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;

use antivirus::host::{Error, Event, Facts, Host, Part, Report, Verdict, View};
use antivirus::settings::Settings;
use antivirus::step::{self, AT_ONCE};
use antivirus::views::VIEWS_MAX;

type Said = Result<Report, Error>;
type Scanner = Box<dyn Fn(&str, &View) -> Said>;

/// A server whose scanners say what a test wants.
struct Server {
    parts: Vec<Part>,
    say: Scanner,
    shown: RefCell<Vec<(String, View)>>,
    under_way: RefCell<usize>,
    facts: RefCell<Vec<(String, String)>>,
    events: RefCell<Vec<Event>>,
}

fn server(say: impl Fn(&str, &View) -> Said + 'static) -> Server {
    Server {
        parts: vec![part(None, "7bit"), part(Some(0), "7bit"), part(Some(0), "base64")],
        say: Box::new(say),
        shown: RefCell::default(),
        under_way: RefCell::default(),
        facts: RefCell::default(),
        events: RefCell::default(),
    }
}

fn part(parent: Option<u32>, transfer_encoding: &str) -> Part {
    Part { parent, transfer_encoding: transfer_encoding.into(), body_length: 10, ambiguous: false }
}

impl Host for Server {
    type Scan = Said;

    fn facts(&self) -> Facts {
        Facts::default()
    }

    fn parts(&self) -> Result<Vec<Part>, Error> {
        Ok(self.parts.clone())
    }

    fn sha256(&self) -> Result<String, Error> {
        Ok("00".repeat(32))
    }

    fn start(&self, scanner: &str, view: &View) -> Result<Said, Error> {
        *self.under_way.borrow_mut() += 1;
        assert!(*self.under_way.borrow() <= AT_ONCE, "too many scans at once");
        self.shown.borrow_mut().push((scanner.to_owned(), view.clone()));
        Ok((self.say)(scanner, view))
    }

    fn wait(&self, scan: Said) -> Said {
        *self.under_way.borrow_mut() -= 1;
        scan
    }

    fn annotate(&self, name: &str, value: &str) -> Result<(), Error> {
        assert!(!value.is_empty() && value.len() <= 512);
        self.facts.borrow_mut().push((name.into(), value.into()));
        Ok(())
    }

    fn record(&self, event: &Event) -> Result<(), Error> {
        self.events.borrow_mut().push(event.clone());
        Ok(())
    }
}

impl Server {
    fn run(&self, settings: &str) -> Result<Verdict, Error> {
        step::run(self, &Settings::parse(settings).unwrap())
    }

    fn fact(&self, name: &str) -> Option<String> {
        self.facts.borrow().iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    }
}

fn clean() -> Said {
    Ok(Report { version: Some("ClamAV 1.4.6".into()), signatures: Some("27500".into()), ..Report::default() })
}

fn found(name: &str) -> Said {
    Ok(Report { threat: Some(name.into()), ..clean().unwrap() })
}

fn down() -> Said {
    Err(Error::Unavailable("scanner 'one' cannot be reached".into()))
}

const ONE: &str = r#"{"scanners":["one"]"#;

fn settings(more: &str) -> String {
    format!("{ONE}{more}}}")
}

fn view(part: u32, encoding: Option<&'static str>) -> View {
    View::Part { part, encoding }
}

#[test]
fn a_clean_message_goes_on_with_a_mark() {
    let server = server(|_, _| clean());
    assert_eq!(server.run(&settings("")), Ok(Verdict::Continue));
    assert_eq!(server.fact("verdict").as_deref(), Some("clean"));
    assert_eq!(server.fact("scanner").as_deref(), Some("one"));
    assert_eq!(server.fact("signatures").as_deref(), Some("ClamAV 1.4.6 27500"));
    assert!(server.fact("name").is_none() && server.events.borrow().is_empty());
}

#[test]
fn an_infected_message_ends_as_the_settings_say_and_is_in_the_log() {
    for (choice, verdict) in [
        ("", Verdict::Reject("Message refused, virus found: Worm.A".into())),
        (r#","on-infected":"reject""#, Verdict::Reject("Message refused, virus found: Worm.A".into())),
        (r#","on-infected":"quarantine""#, Verdict::Quarantine("virus Worm.A found by one".into())),
        (r#","on-infected":"annotate""#, Verdict::Continue),
    ] {
        let server = server(|_, _| found("Worm.A"));
        assert_eq!(server.run(&settings(choice)).as_ref(), Ok(&verdict));
        let events = server.events.borrow();
        let [event] = &events[..] else { panic!("{events:?}") };
        assert_eq!(event.kind, "virus");
        assert_eq!(event.details[..2], [("name", "Worm.A".to_owned()), ("scanner", "one".to_owned())]);
        let marked = verdict == Verdict::Continue;
        assert_eq!(server.fact("verdict").as_deref(), marked.then_some("infected"));
        assert_eq!(server.fact("name").as_deref(), marked.then_some("Worm.A"));
        assert_eq!(server.fact("signatures").is_some(), marked);
    }
}

/// Attack M5: the scanner may read the message otherwise than its reader does.
#[test]
fn what_any_reader_may_see_is_shown() {
    let mut server = server(|_, _| clean());
    server.run(&settings("")).unwrap();
    let shown = |server: &Server| server.shown.borrow().iter().map(|(_, view)| view.clone()).collect::<Vec<_>>();
    assert_eq!(shown(&server), [View::Message, view(1, None), view(2, None)]);

    server.shown.take();
    server.run(&settings(r#","views":"ambiguous""#)).unwrap();
    assert_eq!(shown(&server), [View::Message]);

    server.shown.take();
    server.parts[2].ambiguous = true;
    server.parts[0].transfer_encoding = "base64".into();
    server.parts[1].body_length = 0;
    server.run(&settings(r#","views":"ambiguous""#)).unwrap();
    let every = ["binary", "base64", "quoted-printable"].map(|encoding| view(2, Some(encoding)));
    assert_eq!(shown(&server), [vec![View::Message, view(0, None)], every.to_vec()].concat());
}

#[test]
fn a_virus_in_one_reading_is_enough() {
    for hidden in [View::Message, view(1, None), view(2, None)] {
        let server = server(move |_, view| if *view == hidden { found("Worm.A") } else { clean() });
        assert!(matches!(server.run(&settings("")), Ok(Verdict::Reject(_))));
    }
}

/// Attack E6: no answer is not «clean».
#[test]
fn what_is_not_known_is_a_failure_of_the_step() {
    for error in [down().unwrap_err(), Error::Other("is not granted".into())] {
        let said = error.clone();
        let server = server(move |_, view| if *view == view_two() { Err(said.clone()) } else { clean() });
        assert!(matches!(server.run(&settings("")), Err(Error::Unavailable(_))), "{error:?}");
        assert!(server.facts.borrow().is_empty() && server.events.borrow().is_empty());
    }
}

fn view_two() -> View {
    view(2, None)
}

#[test]
fn all_scanners_must_answer_or_the_first_that_can() {
    let both = |answers: &str| format!(r#"{{"scanners":["one","two"],"answers":"{answers}"}}"#);
    let two_only = || server(|scanner, _| if scanner == "one" { down() } else { clean() });
    assert!(two_only().run(&both("all")).is_err());
    let second = two_only();
    assert_eq!(second.run(&both("first")), Ok(Verdict::Continue));
    assert_eq!(second.shown.borrow().len(), 6, "each content to the second after the first");
    let first = server(|_, _| clean());
    first.run(&both("first")).unwrap();
    assert!(first.shown.borrow().iter().all(|(scanner, _)| scanner == "one"));
    assert!(server(|_, _| down()).run(&both("first")).is_err());
    // One scanner that knows it is enough, whatever became of the other.
    let knows = server(|scanner, _| if scanner == "one" { down() } else { found("Worm.A") });
    assert!(matches!(knows.run(&both("all")), Ok(Verdict::Reject(_))));
    let disagree = server(|scanner, _| if scanner == "one" { clean() } else { found("Worm.A") });
    assert!(matches!(disagree.run(&both("all")), Ok(Verdict::Reject(_))));
}

#[test]
fn guesses_and_encrypted_archives_are_what_the_settings_say() {
    for (name, more, word) in [
        ("Heuristics.Phishing.Email", "", "reject"),
        ("Heuristics.Phishing.Email", r#","on-heuristic":"pass""#, "continue"),
        ("Heuristics.Phishing.Email", r#","on-heuristic":"quarantine""#, "quarantine"),
        ("Heuristics.Phishing.Email", r#","on-heuristic":"defer""#, "defer"),
        ("Heuristics.Encrypted.Zip", "", "continue"),
        ("Heuristics.Encrypted.Zip", r#","on-encrypted":"infected""#, "reject"),
        ("Heuristics.Encrypted.Zip", r#","on-heuristic":"pass","on-encrypted":"quarantine""#, "quarantine"),
        ("PUA.Win.Tool", r#","heuristics":["PUA."],"on-heuristic":"pass""#, "continue"),
        ("Heuristics", r#","on-heuristic":"pass""#, "reject"),
        ("", r#","on-heuristic":"pass""#, "reject"),
        ("unnamed", r#","on-heuristic":"pass","on-encrypted":"pass""#, "reject"),
    ] {
        let server = server(move |_, _| found(name));
        let verdict = server.run(&settings(more)).unwrap();
        let said = match verdict {
            Verdict::Continue => "continue",
            Verdict::Reject(_) => "reject",
            Verdict::Quarantine(_) => "quarantine",
            Verdict::Defer(_) => "defer",
        };
        assert_eq!(said, word, "{name} {more}");
        assert_eq!(server.fact("passed").is_some(), word == "continue");
    }
    // What passes does not hide what does not.
    let both =
        server(|_, view| if *view == View::Message { found("Heuristics.Encrypted.Zip") } else { found("Worm.A") });
    assert!(matches!(both.run(&settings("")), Ok(Verdict::Reject(_))));
}

/// Attack E6, the other way round: what cannot be scanned is not tried again for ever.
#[test]
fn a_message_that_cannot_be_scanned_is_told_so() {
    let large = || server(|_, _| Err(Error::TooLarge("scanner 'one' does not take content of this size".into())));
    assert!(matches!(large().run(&settings("")), Ok(Verdict::Reject(why)) if why.contains("of this size")));
    assert!(matches!(large().run(&settings(r#","on-unscannable":"quarantine""#)), Ok(Verdict::Quarantine(_))));
    assert!(matches!(large().run(&settings(r#","on-unscannable":"defer""#)), Ok(Verdict::Defer(_))));
    let mut many = server(|_, _| clean());
    many.parts = vec![part(None, "7bit"); VIEWS_MAX];
    assert!(matches!(many.run(&settings("")), Ok(Verdict::Reject(_))));
    many.parts.pop();
    assert_eq!(many.run(&settings("")), Ok(Verdict::Continue));
}

#[test]
fn settings_that_say_nothing_sensible_are_refused() {
    for json in [
        "{}",
        r#"{"scanners":[]}"#,
        r#"{"scanners":["a","a"]}"#,
        r#"{"scanners":["a"],"on-infected":"pass"}"#,
        r#"{"scanners":["a"],"heuristics":[""]}"#,
        r#"{"scanners":["a"],"on-infectd":"reject"}"#,
        r#"{"scanners":["a","b","c","d","e","f","g","h","i"]}"#,
    ] {
        assert!(Settings::parse(json).is_err(), "{json}");
    }
}
