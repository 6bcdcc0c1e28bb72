//! Which of several keys under one name signs.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use sigillo_trust::{KeyRing, RingKey, SigningKey};
use support::{in_days, now, pki};

/// A key whose certificate is valid from one day to another, counted from today.
fn key(name: &str, from: i64, to: i64) -> RingKey {
    let pki = pki();
    let day = |days: i64| {
        let at = jiff::Timestamp::from_millisecond(now() as i64 + days * 86_400_000).unwrap();
        at.strftime("%Y%m%d%H%M%SZ").to_string()
    };
    let certificate = pki.certificate_between("provider", name, &day(from), &day(to));
    let key = SigningKey::load(&pki.read("provider.key"), &certificate, b"").unwrap();
    RingKey { key: Arc::new(key), from_ms: None }
}

fn serial(ring: &KeyRing, at: u64) -> Result<String, String> {
    ring.signing(at).map(|key| key.certificate_facts().serial.clone()).map_err(|e| e.to_string())
}

#[test]
fn the_newest_valid_key_signs() {
    let (old, new) = (key("old", -20, 10), key("new", 2, 40));
    let serials = [&old, &new].map(|key| key.key.certificate_facts().serial.clone());
    let ring = KeyRing::new(vec![old.clone(), new.clone()]).unwrap();
    assert_eq!(serial(&ring, now()), Ok(serials[0].clone()));
    assert_eq!(serial(&ring, in_days(3)), Ok(serials[1].clone()));
    assert_eq!(serial(&ring, in_days(39)), Ok(serials[1].clone()));
    assert_eq!(ring.certificates().map(|c| c.serial.clone()).collect::<Vec<_>>(), serials);
    assert_eq!(ring.ends_ms(), new.key.certificate_facts().not_after_ms);
    // Its own instant holds the new one back, whatever the certificate says.
    let later = RingKey { from_ms: Some(in_days(5)), ..new };
    let ring = KeyRing::new(vec![later, old]).unwrap();
    assert_eq!(serial(&ring, in_days(4)), Ok(serials[0].clone()));
    assert_eq!(serial(&ring, in_days(6)), Ok(serials[1].clone()));
}

#[test]
fn an_expired_certificate_never_signs() {
    let ring = KeyRing::new(vec![key("past", -20, -1), key("coming", 5, 20)]).unwrap();
    let said = serial(&ring, now()).unwrap_err();
    assert!(said.starts_with("no certificate of the key is valid now: the one with serial number "), "{said}");
    assert!(said.contains(" expired at ") && said.contains(" begins at "), "{said}");
    assert_eq!(ring.addresses(now()), ["posta-certificata@alfa.example", "altra@alfa.example"]);
    assert!(serial(&ring, in_days(6)).is_ok());
    assert!(KeyRing::new(Vec::new()).is_none());
}
