//! A lost password is replaced by its owner alone, with a code that comes to his mobile telephone (ADM-14).
//!
//! Whoever asks learns nothing: an unknown login, one without a number and one that was asked for a moment ago are answered
//! as if a code were on its way. A code is good once, for a quarter of an hour and for five attempts; only its digest is
//! kept. What goes to the telephone is a request of the outbox that leaves with the code's time.

use sha2::{Digest, Sha256};
use sigillo_store::recovery::Code;
use sigillo_store::{Millis, StoreError, Tx};

use crate::act::{Provisioning, detail, record};
use crate::actor::Actor;
use crate::error::Error;
use crate::passwords;
use crate::permissions::Operation;
use crate::users::existing;

/// How long a code is good.
pub const GOOD_MS: Millis = 15 * 60_000;
/// Between two codes for one login: whoever asks again and again must not fill a telephone, nor cost the provider much.
const BETWEEN_MS: Millis = 5 * 60_000;
/// Codes for one login in a day: ten, so that a stranger who asks costs his owner ten messages and no more.
const A_DAY_MAX: u64 = 10;
/// A day.
const DAY_MS: Millis = 24 * 3_600_000;
/// Attempts with one code: of eight digits, so that five guesses are nothing.
const ATTEMPTS_MAX: u32 = 5;
/// Digits of a code.
const DIGITS: u32 = 8;

/// What takes text messages to telephones.
pub trait TextMessages: Send + Sync {
    /// Queues one in the running commit. `key` names it for ever; `to` is a number as [`number`] makes it; it is not sent
    /// from `until` on.
    fn queue(&self, tx: &mut Tx<'_>, key: &str, to: &str, text: &str, until: Millis) -> Result<(), StoreError>;
}

/// A number of a telephone in the form of E.164: `+` and 8 to 15 digits.
pub fn number(text: &str) -> Result<String, Error> {
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')')).collect();
    let good = digits.strip_prefix('+').is_some_and(|digits| {
        (8..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0')
    });
    match good {
        true => Ok(digits),
        false => Err(Error::invalid(
            format!("'{text}'"),
            "it is no number of a mobile telephone",
            "write it with the code of its country: +39 320 1234567",
        )),
    }
}

fn digest(login: &str, code: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(login.as_bytes());
    hash.update([0]);
    hash.update(code.as_bytes());
    hash.finalize().into()
}

/// Eight digits, each of the hundred million as likely as the others.
fn code() -> String {
    let range = 10u64.pow(DIGITS);
    let whole = u64::MAX - u64::MAX % range;
    loop {
        let value: u64 = rand::random();
        if value < whole {
            return format!("{:08}", value % range);
        }
    }
}

impl Provisioning {
    /// Notes the mobile telephone of a user, or forgets it: given at the activation, by whoever administers his mailbox.
    pub async fn set_mobile(&self, actor: &Actor, login: &str, mobile: Option<&str>) -> Result<(), Error> {
        let mobile = mobile.map(number).transpose()?;
        let subject = self.user_subject(login).await?;
        let login = login.to_ascii_lowercase();
        self.act(actor, Operation::UserMobile, subject, move |tx| {
            existing(&tx.reader(), &login)?;
            tx.set_mobile(&login, mobile.as_deref())?;
            // A code that went to the telephone before may be in the hands of whoever has that now.
            if let Some(kept) = tx.reader().recovery_code(&login)? {
                tx.put_recovery_code(&login, &Code { expires: 0, ..kept })?;
            }
            // The whole number would be one more place from which it could leak.
            let end = mobile.map_or_else(|| "none".to_owned(), |mobile| format!("…{}", &mobile[mobile.len() - 3..]));
            Ok(((), vec![detail("mobile", end)]))
        })
        .await
    }

    /// The mobile telephone of a user, if it is known.
    pub async fn mobile(&self, actor: &Actor, login: &str) -> Result<Option<String>, Error> {
        let subject = self.user_subject(login).await?;
        let wanted = login.to_ascii_lowercase();
        let found = self.look(actor, Operation::UserMobile, subject, move |reader| {
            Ok(reader.user(&wanted)?.is_some().then_some(reader.mobile(&wanted)?))
        });
        found.await?.ok_or_else(|| {
            Error::not_found(format!("user {login}"), "`sigillo user list ADDRESS` has the users of a mailbox")
        })
    }

    /// Sends a code to the mobile telephone of a login, if it has one.
    pub async fn ask_recovery(
        &self,
        actor: &Actor,
        login: &str,
        gateway: Option<std::sync::Arc<dyn TextMessages>>,
    ) -> Result<(), Error> {
        let Some(gateway) = gateway else {
            return Err(Error::invalid(
                "recovery by a text message",
                "no gateway is configured",
                "name a target in provisioning.text-messages, or ask whoever administers the mailbox for another first \
                 password",
            ));
        };
        let subject = self.user_subject(login).await?;
        let (actor, login) = (actor.clone(), login.to_ascii_lowercase());
        self.commit(move |tx| {
            let (now, reader) = (tx.now(), tx.reader());
            if reader.user(&login)?.is_none() {
                return Ok(());
            }
            // An instant ahead of now was noted before the clock was set back.
            let before = reader.recovery_code(&login)?;
            if before.as_ref().is_some_and(|code| code.asked <= now && code.asked + BETWEEN_MS > now) {
                return Ok(());
            }
            let yesterday = now.saturating_sub(DAY_MS);
            let open = reader.user_at_the_door(&login)?.is_some();
            let (mobile, sent) = (reader.mobile(&login)?, reader.codes_sent(&login, yesterday)?);
            let mobile = match (mobile, open) {
                (Some(mobile), true) if sent < A_DAY_MAX => mobile,
                (mobile, _) => {
                    let why = match (mobile, open) {
                        (None, _) => "no mobile number",
                        (_, false) => "no open mailbox",
                        _ => "too many codes in a day",
                    };
                    // Strangers may ask: that it was asked for is kept, so that there is one record in five minutes.
                    let none = Code { digest: [0; 32], asked: now, expires: 0, attempts: 0 };
                    tx.put_recovery_code(&login, &Code { asked: now, ..before.unwrap_or(none) })?;
                    return Ok(record(tx, &actor, Operation::Recovery, &subject, "refused", vec![detail("why", why)])?);
                }
            };
            let code = code();
            let kept = Code { digest: digest(&login, &code), asked: now, expires: now + GOOD_MS, attempts: 0 };
            tx.put_recovery_code(&login, &kept)?;
            tx.note_code_sent(&login, yesterday)?;
            let key = format!("{:x}-{now:x}", u64::from_be_bytes(first_octets(&digest(&login, ""))));
            gateway.queue(tx, &key, &mobile, &text(&code, &login), kept.expires)?;
            Ok(record(tx, &actor, Operation::Recovery, &subject, "done", vec![detail("step", "code sent")])?)
        })
        .await
    }

    /// Changes a password with the code.
    pub async fn redeem_recovery(&self, actor: &Actor, login: &str, code: &str, new: &str) -> Result<(), Error> {
        let wrong =
            || Error::invalid("login or code", "they do not belong together, or the code is over", "ask for another");
        let subject = self.user_subject(login).await?;
        let login = login.to_ascii_lowercase();
        passwords::check(new, &login, self.settings().password_min)?;
        let credential = passwords::hash(new.to_owned(), false).await?;
        let (actor, code) = (actor.clone(), code.trim().to_owned());
        let done = self.commit(move |tx| {
            let now = tx.now();
            let Some(kept) = tx.reader().recovery_code(&login)? else { return Ok(false) };
            if kept.asked > now || kept.expires <= now || kept.attempts >= ATTEMPTS_MAX {
                return Ok(false);
            }
            // Whoever was shut out since changes nothing until he is let in again.
            if tx.reader().user_at_the_door(&login)?.is_none() || kept.digest != digest(&login, &code) {
                tx.put_recovery_code(&login, &Code { attempts: kept.attempts + 1, ..kept })?;
                record(tx, &actor, Operation::Recovery, &subject, "refused", vec![detail("why", "wrong code")])?;
                return Ok(false);
            }
            // Gone for good; when it was asked stays, so that the next one cannot be asked at once.
            tx.put_recovery_code(&login, &Code { expires: 0, ..kept })?;
            tx.set_user_credential(&login, &credential, false, None)?;
            record(tx, &actor, Operation::Recovery, &subject, "done", vec![detail("step", "password changed")])?;
            Ok(true)
        });
        if done.await? { Ok(()) } else { Err(wrong()) }
    }
}

/// What the telephone shows, in the letters that every one has, so that it is one message for most logins.
fn text(code: &str, login: &str) -> String {
    format!(
        "{code} e' il codice per la nuova password di {login}: vale 15 minuti, non darlo a nessuno. Code for a new \
         password (15 min): tell nobody."
    )
}

fn first_octets(digest: &[u8; 32]) -> [u8; 8] {
    let mut octets = [0; 8];
    octets.copy_from_slice(&digest[..8]);
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_telephones() {
        assert_eq!(number("+39 320-123.45 67").unwrap(), "+393201234567");
        for bad in ["3201234567", "+39", "+0393201234567", "+39320x234567", "+393201234567890123"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }

    /// GSM 03.38: 160 letters.
    #[test]
    fn a_text_is_one_message_for_most_logins() {
        assert!(text("12345678", "ada.rossi@pec.alfa.example").len() <= 160);
    }

    #[test]
    fn codes_have_eight_digits_and_differ() {
        let codes: std::collections::BTreeSet<String> = (0..50).map(|_| code()).collect();
        assert!(codes.len() > 45 && codes.iter().all(|code| code.len() == 8));
    }
}
