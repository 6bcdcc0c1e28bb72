//! A target that speaks SMPP 3.4: a message centre that sends SMS.
//!
//! A request's parameters: `to` (a number of E.164 with `+`) and `text`. A long text goes out as several messages that a
//! telephone puts together, or as one with a parameter of its own where the message centre wants that. The protocol has no
//! place for an idempotency key: what was taken without our knowing (a connection lost between the two) is sent again,
//! with the same reference number, and parts that were taken are not sent twice while the server runs.

mod session;
mod text;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusmpp_core::CommandStatus;
use rusmpp_core::pdus::owned::{BindTransceiver, SubmitSm};
use rusmpp_core::tlvs::owned::MessageSubmissionRequestTlvValue;
use rusmpp_core::types::owned::{AnyOctetString, COctetString, OctetString};
use rusmpp_core::values::owned::MessagePayload;
use rusmpp_core::values::{DataCoding, EsmClass, InterfaceVersion, Npi, Ton};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use super::http::Meaning;
use super::{Attempt, Protocol, Request, Said, egress};
use session::{Answered, Session, Stream};
pub use text::Alphabet;

/// Digits of a number (ITU-T E.164 §6.2.1).
const DIGITS_MAX: usize = 15;
/// Requests whose parts that were taken are remembered.
const PROGRESS_MAX: usize = 1024;
/// `esm_class` of a message with a header of its own (SMPP 3.4 §5.2.12).
const UDHI: u8 = 0x40;

/// How a long text is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LongTexts {
    /// As several messages with a header each.
    Parts,
    /// As one, in the parameter `message_payload`.
    Payload,
}

/// A message centre as the configuration describes it.
#[derive(Clone)]
pub struct SmppOptions {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What it must prove and the name that it must show; none: in clear.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Who we are: at most 15 octets.
    pub system_id: String,
    /// At most 8 octets.
    pub password: String,
    /// At most 12 octets; mostly empty.
    pub system_type: String,
    /// Whom messages come from: a number, or at most 11 letters.
    pub from: String,
    /// How texts are written.
    pub alphabet: Alphabet,
    /// How long texts are sent.
    pub long_texts: LongTexts,
    /// Messages in a second at most.
    pub per_second: u32,
    /// Silence after which the other side is asked whether it is there.
    pub enquire: Duration,
    /// For each answer.
    pub timeout: Duration,
    /// What a `command_status` means, where it is not the default.
    pub meanings: HashMap<u32, Meaning>,
}

/// A message centre.
pub struct SmppTarget {
    options: SmppOptions,
    bind: BindTransceiver,
    session: tokio::sync::Mutex<Option<Arc<Session>>>,
    /// When the next message may go.
    next: tokio::sync::Mutex<Instant>,
    /// Parts that were taken of requests that have not ended, by key.
    taken: Mutex<HashMap<String, usize>>,
}

impl SmppTarget {
    /// Opens nothing yet; the words say what is wrong with the options.
    pub fn new(options: SmppOptions) -> Result<SmppTarget, String> {
        let field = |what: &str| format!("{what} is too long or not ASCII");
        let bind = BindTransceiver::builder()
            .system_id(options.system_id.parse().map_err(|_| field("system-id (15 octets)"))?)
            .password(options.password.parse().map_err(|_| field("the password (8 octets)"))?)
            .system_type(options.system_type.parse().map_err(|_| field("system-type (12 octets)"))?)
            .interface_version(InterfaceVersion::Smpp3_4)
            .build();
        source(&options.from)?;
        let next = tokio::sync::Mutex::new(Instant::now());
        Ok(SmppTarget { options, bind, session: Default::default(), next, taken: Mutex::default() })
    }

    /// The session in use, or a new one.
    async fn session(&self) -> Result<Arc<Session>, String> {
        let mut kept = self.session.lock().await;
        if let Some(session) = kept.as_ref().filter(|session| !session.is_over()) {
            return Ok(session.clone());
        }
        *kept = None;
        let session = timeout(self.options.timeout, self.open()).await;
        let session =
            session.unwrap_or_else(|_| Err(format!("no session within {} s", self.options.timeout.as_secs())))?;
        Ok(kept.insert(Arc::new(session)).clone())
    }

    async fn open(&self) -> Result<Session, String> {
        let options = &self.options;
        let socket = egress::connect(&options.host, options.port).await.map_err(|error| error.to_string())?;
        let stream: Box<dyn Stream> = match &options.tls {
            None => Box::new(socket),
            Some((tls, name)) => {
                let connector = TlsConnector::from(tls.clone());
                Box::new(connector.connect(name.clone(), socket).await.map_err(|error| error.to_string())?)
            }
        };
        Session::bind(stream, self.bind.clone(), options.timeout, options.enquire).await
    }

    /// Waits until one more message may go.
    async fn turn(&self) {
        let mut next = self.next.lock().await;
        sleep_until(*next).await;
        *next = Instant::now() + Duration::from_secs(1) / self.options.per_second.max(1);
    }

    async fn send(&self, request: &Request, messages: Vec<SubmitSm>) -> Attempt {
        let begun = self.taken.lock().unwrap_or_else(PoisonError::into_inner).get(&request.key).copied().unwrap_or(0);
        let mut said = Said { code: Some(0), text: "taken".into(), ..Said::default() };
        for (index, message) in messages.into_iter().enumerate().skip(begun) {
            self.turn().await;
            let answered = match self.session().await {
                Ok(session) => session.submit(message).await,
                Err(why) => Err(why),
            };
            let Answered { status, message_id } = match answered {
                Ok(answered) => answered,
                Err(why) => return Attempt::away(why),
            };
            let code = u32::from(status);
            let now = Said {
                code: Some(code),
                text: format!("{status:?} {message_id}").trim().to_owned(),
                ..Said::default()
            };
            match self.meaning(status) {
                Meaning::Done if index == 0 => said = now,
                Meaning::Done => {}
                Meaning::Refused => {
                    self.forget(&request.key);
                    return Attempt::Refused(now);
                }
                Meaning::Retry => return Attempt::Later { said: now, away: false, wait: None },
            }
            self.took(&request.key, index + 1);
        }
        self.forget(&request.key);
        Attempt::Done(said)
    }

    fn forget(&self, key: &str) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn took(&self, key: &str, parts: usize) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() >= PROGRESS_MAX && !taken.contains_key(key) {
            taken.clear(); // requests that expired leave theirs behind
        }
        taken.insert(key.to_owned(), parts);
    }

    fn meaning(&self, status: CommandStatus) -> Meaning {
        let own = self.options.meanings.get(&u32::from(status)).copied();
        own.unwrap_or_else(|| meaning(status))
    }

    fn messages(&self, request: &Request) -> Result<Vec<SubmitSm>, String> {
        let (to, text) = parsed(&request.parameters, request.content.is_some())?;
        let encoded = text::encode(text, self.options.alphabet)?;
        let (source_addr_ton, source_addr_npi, source_addr) = source(&self.options.from)?;
        let message = || {
            SubmitSm::builder()
                .source_addr_ton(source_addr_ton)
                .source_addr_npi(source_addr_npi)
                .source_addr(source_addr.clone())
                .dest_addr_ton(Ton::International)
                .dest_addr_npi(Npi::Isdn)
                .destination_addr(to.clone())
                // Not the crate's default, which is an acknowledgement of delivery.
                .esm_class(EsmClass::from(0))
                .data_coding(if encoded.ucs2 { DataCoding::Ucs2 } else { DataCoding::McSpecific })
        };
        let short = |octets: Vec<u8>| OctetString::from_vec(octets).map_err(|error| format!("{error:?}"));
        let count = encoded.parts.len();
        if count == 1 {
            let only = encoded.parts.into_iter().next().unwrap_or_default();
            return Ok(vec![message().short_message(short(only)?).build()]);
        }
        if self.options.long_texts == LongTexts::Payload {
            let payload = MessagePayload::new(AnyOctetString::from_vec(encoded.parts.concat()));
            return Ok(vec![message().push_tlv(MessageSubmissionRequestTlvValue::MessagePayload(payload)).build()]);
        }
        let reference = reference(&request.key);
        let part = |(index, octets): (usize, &Vec<u8>)| {
            let whole = [&text::header(reference, count, index + 1)[..], octets].concat();
            Ok(message().esm_class(EsmClass::from(UDHI)).short_message(short(whole)?).build())
        };
        encoded.parts.iter().enumerate().map(part).collect()
    }
}

#[async_trait]
impl Protocol for SmppTarget {
    fn check(&self, parameters: &[(String, String)], size: Option<u64>) -> Result<(), String> {
        let (_, text) = parsed(parameters, size.is_some())?;
        text::encode(text, self.options.alphabet).map(drop)
    }

    async fn attempt(&self, request: &Request) -> Attempt {
        match self.messages(request) {
            Ok(messages) => self.send(request, messages).await,
            Err(why) => Attempt::Refused(Said::words(why)),
        }
    }
}

/// The same for every attempt at a request, so that a telephone knows the parts of one text.
fn reference(key: &str) -> u8 {
    key.bytes().fold(0, |sum: u8, octet| sum.wrapping_mul(31).wrapping_add(octet))
}

type Address = COctetString<1, 21>;

fn parsed(parameters: &[(String, String)], content: bool) -> Result<(Address, &str), String> {
    if content {
        return Err("smpp takes no content: the text is a parameter".into());
    }
    let (mut to, mut text) = (None, None);
    for (name, value) in parameters {
        match name.as_str() {
            "to" if to.is_none() => to = Some(number(value)?),
            "text" if text.is_none() => text = Some(value.as_str()),
            _ => return Err(format!("parameter '{name}' is unknown or stands twice; smpp takes to and text")),
        }
    }
    Ok((to.ok_or("parameter 'to' is missing")?, text.ok_or("parameter 'text' is missing")?))
}

/// `+` and digits (E.164 §6), as the protocol has them: without the sign.
fn number(text: &str) -> Result<Address, String> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let good = (5..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|octet| octet.is_ascii_digit());
    let wrong = || "'to' is no number such as +390612345678".to_owned();
    if !good || digits.starts_with('0') {
        return Err(wrong());
    }
    digits.parse().map_err(|_| wrong())
}

/// Type, plan and address of whom messages come from (SMPP 3.4 §5.2.5, §5.2.6).
fn source(text: &str) -> Result<(Ton, Npi, Address), String> {
    let address = || text.parse().map_err(|_| format!("from '{text}' is no sender"));
    let digits = text.strip_prefix('+').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit()) {
        // A short number is the network's own.
        let ton = if digits.len() > 6 { Ton::International } else { Ton::NetworkSpecific };
        let digits = digits.parse().map_err(|_| format!("from '{text}' is too long"))?;
        return Ok((ton, Npi::Isdn, digits));
    }
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || b" -._&".contains(&octet);
    if text.is_empty() || text.len() > 11 || !text.bytes().all(fits) {
        return Err(format!("from '{text}' is neither a number nor 1 to 11 letters and digits"));
    }
    Ok((Ton::Alphanumeric, Npi::Unknown, address()?))
}

/// SMPP 3.4 §5.1.3: what no repetition mends is refused; a full queue, a limit on speed, a failure inside are tried again,
/// and so is whatever has no meaning in the standard.
fn meaning(status: CommandStatus) -> Meaning {
    use CommandStatus as S;
    match status {
        S::EsmeRok => Meaning::Done,
        S::EsmeRinvmsglen
        | S::EsmeRinvcmdlen
        | S::EsmeRinvprtflg
        | S::EsmeRinvregdlvflg
        | S::EsmeRinvsrcadr
        | S::EsmeRinvdstadr
        | S::EsmeRinvsertyp
        | S::EsmeRinvesmclass
        | S::EsmeRinvsrcton
        | S::EsmeRinvsrcnpi
        | S::EsmeRinvdstton
        | S::EsmeRinvdstnpi
        | S::EsmeRinvsched
        | S::EsmeRinvexpiry
        | S::EsmeRxPAppn
        | S::EsmeRxRAppn
        | S::EsmeRinvtlvstream
        | S::EsmeRtlvnotallwd
        | S::EsmeRinvtlvlen
        | S::EsmeRmissingtlv
        | S::EsmeRinvtlvval
        | S::EsmeRprohibited
        | S::EsmeRinvdcs => Meaning::Refused,
        _ => Meaning::Retry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_senders_are_what_the_network_takes() {
        assert_eq!(number("+390612345678").unwrap().to_string(), "390612345678");
        for wrong in ["", "+", "+39", "+39 06", "+0612345678", "+3906123456789012", "abc", "+39x6123456"] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
        assert!(matches!(source("Sigillo"), Ok((Ton::Alphanumeric, Npi::Unknown, _))));
        assert!(matches!(source("+393330000000"), Ok((Ton::International, Npi::Isdn, _))));
        assert!(matches!(source("40400"), Ok((Ton::NetworkSpecific, Npi::Isdn, _))));
        assert!(source("").is_err() && source("dodici lettere").is_err() && source("è").is_err());
    }

    #[test]
    fn a_reference_is_of_the_key() {
        assert_eq!(reference("alerts-digest.1"), reference("alerts-digest.1"));
        assert_ne!(reference("alerts-digest.1"), reference("alerts-digest.2"));
    }
}
