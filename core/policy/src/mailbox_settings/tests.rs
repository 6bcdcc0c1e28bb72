use std::collections::BTreeMap;
use std::convert::Infallible;

use super::*;
use crate::manifest::Manifest;

const MANIFEST: &str = "name: forwarding
version: 0.1.0
contract: sigillo:mail@0.1.0
stages: [stored]
capabilities: [mailboxes]
description: Forwards.
mailbox-settings:
  forwarding: { by: administrator, words: [denied, allowed], description: Whether it may be. }
  forward-to: { by: user, needs: forwarding=allowed, type: addresses, max: 2, description: Where to. }
  forward-note: { by: user, type: text, max: 10, description: A note. }
  forward-kinds: { by: user, words: [all, receipts, mail], max: 2, description: What. }
  forward-days: { by: user, type: count, words: [30, 60], description: How long. }
  forward-hour: { by: user, type: count, max: 23, description: When. }
  forward-other: { by: administrator, words: [accept, reject], default: none, description: As the policy says. }
";

fn settings(text: &str) -> Result<MailboxSettings, Vec<String>> {
    let manifest = Manifest::parse("plugin.yaml", text)
        .map_err(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    MailboxSettings::of(&Manifests::from([("forwarding".to_owned(), manifest.0)])).map_err(|error| vec![error])
}

fn effective(kept: &[(&str, &str)], name: &str) -> Option<String> {
    let kept: BTreeMap<&str, &str> = kept.iter().copied().collect();
    let mut read = |name: &str| Ok::<_, Infallible>(kept.get(name).map(|value| (*value).to_owned()));
    let Ok(value) = settings(MANIFEST).unwrap().effective(name, &mut read);
    value
}

#[test]
fn values_are_checked_and_kept_in_one_form() {
    let all = settings(MANIFEST).unwrap();
    let check = |name: &str, value: &str| all.get(name).unwrap().1.check(value);
    for (name, value, kept) in [
        ("forwarding", "allowed", "allowed"),
        ("forward-to", "ada@beta.example , bea@beta.example", "ada@beta.example,bea@beta.example"),
        ("forward-note", "ciao", "ciao"),
        ("forward-kinds", "mail, all", "mail,all"),
        ("forward-days", "60", "60"),
        ("forward-hour", "007", "7"),
    ] {
        assert_eq!(check(name, value).as_deref(), Ok(kept), "{name}");
    }
    for (name, value, words) in [
        ("forwarding", "yes", "denied or allowed, not 'yes'"),
        ("forwarding", "denied,allowed", "at most 1"),
        ("forwarding", "", "at least one word"),
        ("forward-to", "ada", "and 'ada' is none"),
        ("forward-to", "a@x.example,b@x.example,c@x.example", "at most 2"),
        ("forward-to", "a@x.example,a@x.example", "twice"),
        ("forward-note", "longer than ten", "10 octets"),
        ("forward-note", "a\nb", "one line"),
        ("forward-days", "31", "30 or 60, not 31"),
        ("forward-hour", "24", "0 to 23"),
        ("forward-hour", "-1", "0 to 23"),
    ] {
        let why = check(name, value).unwrap_err();
        assert!(why.contains(words), "{name} {value}: {why}");
    }
}

#[test]
fn adm_10_a_users_choice_has_no_effect_while_the_administrator_denies_it() {
    let to = ("forward-to", "bea@beta.example");
    assert_eq!(effective(&[to], "forward-to"), None);
    assert_eq!(effective(&[to, ("forwarding", "denied")], "forward-to"), None);
    assert_eq!(effective(&[to, ("forwarding", "allowed")], "forward-to").as_deref(), Some("bea@beta.example"));
}

#[test]
fn what_is_not_chosen_is_the_default() {
    assert_eq!(effective(&[], "forwarding").as_deref(), Some("denied"));
    assert_eq!(effective(&[], "forward-days").as_deref(), Some("30"));
    assert_eq!(effective(&[], "forward-other"), None);
    assert_eq!(effective(&[("forward-other", "reject")], "forward-other").as_deref(), Some("reject"));
    // From before the declaration became stricter.
    assert_eq!(effective(&[("forwarding", "perhaps")], "forwarding").as_deref(), Some("denied"));
    assert_eq!(effective(&[("of-nobody", "x")], "of-nobody").as_deref(), Some("x"));
}

#[test]
fn a_declaration_that_cannot_work_is_refused_where_it_stands() {
    for (line, words) in [
        ("  x: { by: user, description: D. }", "'type'"),
        ("  x: { by: nobody, type: text, description: D. }", "nobody"),
        ("  x: { by: user, type: words, description: D. }", "no 'words'"),
        ("  x: { by: user, words: [a, a], description: D. }", "twice"),
        ("  x: { by: user, words: ['a,b'], description: D. }", "no commas"),
        ("  x: { by: user, words: [a], default: b, description: D. }", "default does not fit"),
        ("  x: { by: user, words: [a], needs: y=a, description: D. }", "not among"),
        ("  x: { by: user, words: [a], needs: forwarding=maybe, description: D. }", "cannot be"),
        ("  x: { by: user, words: [a], needs: x=a, description: D. }", "leads back"),
        ("  x: { by: user, words: [a], needs: forwarding, description: D. }", "SETTING=VALUE"),
        ("  x: { by: user, words: [a] }", "description"),
        ("  X: { by: user, words: [a], description: D. }", "no name for a setting"),
        ("  x: { by: user, words: [a], colour: red, description: D. }", "colour"),
    ] {
        let found = settings(&format!("{MANIFEST}{line}\n")).map(drop).unwrap_err().join("\n");
        assert!(found.contains(words), "{line}: {found}");
    }
}

#[test]
fn two_plugins_cannot_declare_one_name() {
    let (manifest, _) = Manifest::parse("plugin.yaml", MANIFEST).unwrap();
    let twice = Manifests::from([("a".to_owned(), manifest.clone()), ("b".to_owned(), manifest)]);
    assert!(MailboxSettings::of(&twice).unwrap_err().contains("'a' and 'b'"));
}
