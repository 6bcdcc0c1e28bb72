//! The checks of one message, within one limit on time.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use mail_auth::dmarc::{Policy, verify::DmarcParameters};
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, AuthenticationResults, DkimOutput, DkimResult, DmarcOutput, DmarcResult,
    MessageAuthenticator, SpfOutput, SpfResult,
};
use sigillo_mail::rope::Rope;
use sigillo_mail::{ReversePath, Source};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::{ATTEMPTS, CACHE, MEMORY, NoResolver, Options, PAGE, QUESTION, SIGNATURES_MAX};

/// What there is to know about a message that another server brings.
pub struct Question {
    /// The other side's address.
    pub peer: IpAddr,
    /// Its greeting; empty if it gave none.
    pub hello: String,
    /// The argument of MAIL.
    pub reverse_path: ReversePath,
    /// The message as it came.
    pub content: Rope,
    /// Octets of its header section.
    pub header_size: u64,
    /// Where its bytes are read.
    pub source: Arc<dyn Source>,
}

/// What was found, in the words of RFC 8601 §2.7.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// Of the domain of the reverse-path, or of the greeting where that is null (RFC 7208 §2.4).
    pub spf: &'static str,
    /// That domain.
    pub spf_domain: String,
    /// The best of the signatures' results (RFC 6376).
    pub dkim: &'static str,
    /// Domains of signatures that pass, in their order.
    pub dkim_domains: Vec<String>,
    /// Whether one of the two is of the domain in `From` (RFC 7489).
    pub dmarc: &'static str,
    /// That domain; empty where there is not exactly one.
    pub dmarc_domain: String,
    /// What that domain asks to be done with what fails: `none`, `quarantine`, `reject`; empty without a record.
    pub dmarc_policy: &'static str,
    /// The chain of those who passed the message on (RFC 8617).
    pub arc: &'static str,
    /// The value of the field `Authentication-Results` in one line.
    pub results: String,
}

impl Findings {
    /// What is known when nothing could be found out.
    fn unknown(authserv_id: &str, why: &str) -> Findings {
        let word = "temperror";
        Findings {
            spf: word,
            spf_domain: String::new(),
            dkim: word,
            dkim_domains: Vec::new(),
            dmarc: word,
            dmarc_domain: String::new(),
            dmarc_policy: "",
            arc: word,
            results: format!("{authserv_id}; spf={word} ({why}); dkim={word}; dmarc={word}; arc={word}"),
        }
    }

    /// As properties of a transaction: name and value; what is not known is not there.
    pub fn properties(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("auth.spf", self.spf.to_owned()),
            ("auth.spf-domain", self.spf_domain.clone()),
            ("auth.dkim", self.dkim.to_owned()),
            ("auth.dkim-domains", self.dkim_domains.join(" ")),
            ("auth.dmarc", self.dmarc.to_owned()),
            ("auth.dmarc-domain", self.dmarc_domain.clone()),
            ("auth.dmarc-policy", self.dmarc_policy.to_owned()),
            ("auth.arc", self.arc.to_owned()),
            ("auth.results", self.results.clone()),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// Checks messages.
pub struct Checker {
    authenticator: Arc<MessageAuthenticator>,
    options: Options,
    room: Arc<Semaphore>,
}

impl Checker {
    /// With the resolvers of the options, or those of the system.
    pub fn new(options: Options) -> Result<Checker, NoResolver> {
        let builder = match options.resolvers.as_slice() {
            [] => TokioResolver::builder_tokio().map_err(|error| NoResolver(error.to_string()))?,
            given => {
                let server = |address: &std::net::SocketAddr| {
                    let mut server = NameServerConfig::udp_and_tcp(address.ip());
                    server.connections.iter_mut().for_each(|connection| connection.port = address.port());
                    server
                };
                let config = ResolverConfig::from_parts(None, Vec::new(), given.iter().map(server).collect());
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let mut builder = builder;
        let set = builder.options_mut();
        (set.timeout, set.attempts, set.cache_size) = (QUESTION, ATTEMPTS, CACHE);
        set.use_hosts_file = ResolveHosts::Never;
        let resolver = builder.build().map_err(|error| NoResolver(error.to_string()))?;
        let authenticator = Arc::new(MessageAuthenticator(resolver));
        Ok(Checker { authenticator, options, room: Arc::new(Semaphore::new((MEMORY / PAGE) as usize)) })
    }

    /// The name under which results are said.
    pub fn authserv_id(&self) -> &str {
        &self.options.authserv_id
    }

    /// Finds out what can be found out in time; never fails.
    ///
    /// The checks run in a task of their own: what a message made for it does to them ends them and not the session.
    pub async fn check(&self, question: Question) -> Findings {
        let deadline = Instant::now() + self.options.timeout;
        let (authenticator, options) = (self.authenticator.clone(), self.options.clone());
        let whole = question.content.len() <= options.message_size;
        let length = if whole { question.content.len() } else { question.header_size };
        // A message larger than all there is has it for itself.
        let pages = length.min(MEMORY) / PAGE + 1;
        let room = self.room.clone().acquire_many_owned(pages.min(MEMORY / PAGE) as u32);
        let Ok(Ok(_room)) = timeout_at(deadline, room).await else {
            return Findings::unknown(&options.authserv_id, "no room in time");
        };
        let bytes = match read(&question, length).await {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(%error, "a message cannot be read for its checks");
                return Findings::unknown(&options.authserv_id, "the message cannot be read");
            }
        };
        let id = options.authserv_id.clone();
        let work = async move { Checks { authenticator, options, question, deadline, whole }.run(&bytes).await };
        match tokio::spawn(work).await {
            Ok(findings) => findings,
            Err(error) => {
                tracing::error!(%error, "the checks of a message's sender ended badly");
                Findings::unknown(&id, "the check ended badly")
            }
        }
    }
}

async fn read(question: &Question, length: u64) -> std::io::Result<Vec<u8>> {
    let (content, source) = (question.content.slice(0, length), question.source.clone());
    let read = move || content.to_bytes(source.as_ref()).map(|bytes| bytes.to_vec());
    tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)?
}

struct Checks {
    authenticator: Arc<MessageAuthenticator>,
    options: Options,
    question: Question,
    deadline: Instant,
    /// All of the message is in memory, so that digests of its body are those that were signed.
    whole: bool,
}

/// Words beside the results that could not be had.
const LATE: &str = "(no answer in time)";

impl Checks {
    /// Of the reverse-path, or of the greeting where that is null (RFC 7208 §2.4).
    async fn spf(&self, from: &str, domain: &str) -> SpfOutput {
        let Question { peer, hello, reverse_path, .. } = &self.question;
        let id = self.options.authserv_id.as_str();
        let asked = match reverse_path {
            ReversePath::Null => SpfParameters::verify_ehlo(*peer, hello, id),
            ReversePath::Mailbox(_) => SpfParameters::verify_mail_from(*peer, hello, id, from),
        };
        let late = |_| SpfOutput::new(domain.to_owned()).with_result(SpfResult::TempError);
        timeout_at(self.deadline, self.authenticator.verify_spf(asked)).await.unwrap_or_else(late)
    }

    async fn run(self, bytes: &[u8]) -> Findings {
        let Question { peer, hello, reverse_path, .. } = &self.question;
        let from = reverse_path.to_string();
        let id = self.options.authserv_id.as_str();
        let spf_domain = reverse_path.mailbox().map_or(hello.as_str(), |mailbox| mailbox.domain().as_str());
        let spf = self.spf(&from, spf_domain);
        let mut message = AuthenticatedMessage::parse(bytes);
        if let Some(message) = &mut message {
            message.dkim_headers.truncate(SIGNATURES_MAX);
        }
        let Some(message) = message else {
            let spf = spf.await;
            let results = AuthenticationResults::new(id).with_spf_mailfrom_result(&spf, *peer, &from, hello);
            return self.findings(&spf, &[], Some(&[]), None, "none", results.to_string());
        };
        let dkim = async {
            match self.whole {
                true => timeout_at(self.deadline, self.authenticator.verify_dkim(&message)).await.ok(),
                false => Some(Vec::new()),
            }
        };
        let arc = async {
            match self.whole {
                true => timeout_at(self.deadline, self.authenticator.verify_arc(&message)).await.ok(),
                false => None,
            }
        };
        let (spf, dkim, arc) = tokio::join!(spf, dkim, arc);
        // Signatures of a message that is too large are there and not looked at: DMARC cannot fail for that.
        let unchecked = !self.whole && (!message.dkim_headers.is_empty() || message.has_dkim_errors);
        let known = if unchecked { None } else { dkim.as_deref() };
        let dmarc = self.dmarc(&message, &spf, known, spf_domain).await;
        let mut results = AuthenticationResults::new(id);
        results = match reverse_path {
            ReversePath::Null => results.with_spf_ehlo_result(&spf, *peer, hello),
            ReversePath::Mailbox(_) => results.with_spf_mailfrom_result(&spf, *peer, &from, hello),
        };
        let author = message.from.first().cloned().unwrap_or_default();
        results = results.with_dkim_results(dkim.as_deref().unwrap_or_default(), &author);
        if let Some(dmarc) = dmarc.as_ref().filter(|dmarc| !dmarc.domain().is_empty()) {
            results = results.with_dmarc_result(dmarc);
        }
        let unknown = if self.whole { "temperror" } else { "none" };
        let chain = arc.as_ref().map_or(unknown, |arc| chain_word(arc.result()));
        if let Some(arc) = arc.as_ref().filter(|_| chain != "none") {
            results = results.with_arc_result(arc, *peer);
        }
        let mut text = results.to_string();
        for (missing, words) in [
            (dkim.is_none(), format!("dkim=temperror {LATE}")),
            (unchecked, "dkim=policy (the message is too large to be checked)".to_owned()),
            (!unchecked && dkim.as_ref().is_some_and(Vec::is_empty), "dkim=none".to_owned()),
            (
                dmarc.is_none(),
                format!("dmarc=temperror {}", if unchecked { "(signatures were not checked)" } else { LATE }),
            ),
            (arc.is_none() && self.whole, format!("arc=temperror {LATE}")),
        ] {
            if missing {
                text.push_str("; ");
                text.push_str(&words);
            }
        }
        let policy: &[&'static str] = if unchecked { &["policy"] } else { &[] };
        self.findings(&spf, policy, dkim.as_deref(), dmarc.as_ref(), chain, text)
    }

    /// None: not known in time. A pass by SPF alone needs no signature.
    async fn dmarc<'x>(
        &self,
        message: &'x AuthenticatedMessage<'x>,
        spf: &'x SpfOutput,
        dkim: Option<&'x [DkimOutput<'x>]>,
        spf_domain: &'x str,
    ) -> Option<DmarcOutput> {
        let parameters = DmarcParameters {
            message,
            dkim_output: dkim.unwrap_or_default(),
            dkim2_output: None,
            rfc5321_mail_from_domain: spf_domain,
            spf_output: spf,
        };
        let output = timeout_at(self.deadline, self.authenticator.verify_dmarc(parameters)).await.ok()?;
        let certain = dkim.is_some() || matches!(output.result(), DmarcResult::Pass | DmarcResult::None);
        certain.then_some(output)
    }

    fn findings(
        &self,
        spf: &SpfOutput,
        unchecked: &[&'static str],
        dkim: Option<&[DkimOutput<'_>]>,
        dmarc: Option<&DmarcOutput>,
        arc: &'static str,
        text: String,
    ) -> Findings {
        let words = dkim.unwrap_or_default().iter().map(|output| dkim_word(output.result()));
        let best = unchecked.iter().copied().chain(words).min_by_key(|word| ORDER.iter().position(|o| o == word));
        let passed = dkim.unwrap_or_default().iter().filter(|output| *output.result() == DkimResult::Pass);
        let mut domains: Vec<String> =
            passed.filter_map(|output| output.signature()).map(|s| s.d.to_string().to_ascii_lowercase()).collect();
        domains.dedup();
        let spf = (spf_word(spf.result()), spf.domain().to_ascii_lowercase());
        let dkim = if dkim.is_none() { "temperror" } else { best.unwrap_or("none") };
        let dmarc_word = dmarc.map_or("temperror", |dmarc| dmarc_word(&dmarc.result()));
        let policy = dmarc.filter(|dmarc| dmarc.dmarc_record().is_some()).map_or("", |dmarc| match dmarc.policy() {
            Policy::Reject => "reject",
            Policy::Quarantine => "quarantine",
            Policy::None | Policy::Unspecified => "none",
        });
        Findings {
            spf: spf.0,
            spf_domain: printable(&spf.1),
            dkim,
            dkim_domains: domains.iter().map(|domain| printable(domain)).collect(),
            dmarc: dmarc_word,
            dmarc_domain: printable(dmarc.map_or("", DmarcOutput::domain)),
            dmarc_policy: policy,
            arc,
            results: one_line(&text).unwrap_or_else(|| {
                // The words of strangers are no text for a field: the results alone.
                let id = &self.options.authserv_id;
                format!("{id}; spf={}; dkim={dkim}; dmarc={dmarc_word}; arc={arc}", spf.0)
            }),
        }
    }
}

/// Unfolded; none if it is not printable ASCII.
fn one_line(text: &str) -> Option<String> {
    let line = text.replace("\r\n\t", " ").replace("\r\n ", " ");
    line.bytes().all(|b| matches!(b, b' '..=b'~')).then_some(line)
}

/// A domain as it may stand in a property: a stranger's, so anything else is left out.
fn printable(domain: &str) -> String {
    let sound = domain.len() <= 255 && domain.bytes().all(|b| b.is_ascii_graphic());
    if sound { domain.to_owned() } else { String::new() }
}

/// The best first.
const ORDER: [&str; 7] = ["pass", "temperror", "fail", "policy", "neutral", "permerror", "none"];

fn spf_word(result: SpfResult) -> &'static str {
    match result {
        SpfResult::Pass => "pass",
        SpfResult::Fail => "fail",
        SpfResult::SoftFail => "softfail",
        SpfResult::Neutral => "neutral",
        SpfResult::TempError => "temperror",
        SpfResult::PermError => "permerror",
        SpfResult::None => "none",
    }
}

fn dkim_word(result: &DkimResult) -> &'static str {
    match result {
        DkimResult::Pass => "pass",
        DkimResult::Neutral(_) => "neutral",
        DkimResult::Fail(_) => "fail",
        DkimResult::PermError(_) => "permerror",
        DkimResult::TempError(_) => "temperror",
        DkimResult::None => "none",
    }
}

/// RFC 8617 §4.4 knows three words; one for what could not be asked is added.
fn chain_word(result: &DkimResult) -> &'static str {
    match dkim_word(result) {
        word @ ("pass" | "none" | "temperror") => word,
        _ => "fail",
    }
}

fn dmarc_word(result: &DmarcResult) -> &'static str {
    match result {
        DmarcResult::Pass => "pass",
        DmarcResult::Fail(_) => "fail",
        DmarcResult::TempError(_) => "temperror",
        DmarcResult::PermError(_) => "permerror",
        DmarcResult::None => "none",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use sigillo_mail::rope::NoSource;

    /// A resolver that is not there: nothing is known, and nobody waits for long.
    fn checker(message_size: u64) -> Checker {
        Checker::new(Options {
            authserv_id: "mx.alfa.example".into(),
            resolvers: vec!["127.0.0.1:1".parse().unwrap()],
            timeout: Duration::from_millis(300),
            message_size,
        })
        .unwrap()
    }

    fn question(message: &str, from: &str) -> Question {
        Question {
            peer: "192.0.2.1".parse().unwrap(),
            hello: "mx.beta.example".into(),
            reverse_path: from.parse().unwrap(),
            content: Rope::from_bytes(message.to_owned()),
            header_size: message.find("\r\n\r\n").map_or(message.len(), |at| at + 4) as u64,
            source: Arc::new(NoSource),
        }
    }

    const SIGNED: &str = "From: Bruno <bruno@beta.example>\r\nDKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; \
        d=beta.example; s=s; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n\r\n";

    #[tokio::test]
    async fn what_cannot_be_asked_is_a_temporary_error() {
        let found = checker(10_000).check(question(SIGNED, "bruno@beta.example")).await;
        assert_eq!((found.spf, found.dkim, found.dmarc, found.arc), ("temperror", "temperror", "temperror", "none"));
        assert_eq!((found.spf_domain.as_str(), found.dmarc_policy), ("beta.example", ""));
        assert!(found.results.starts_with("mx.alfa.example; spf=temperror"), "{}", found.results);
        assert!(crate::field::field(&found.results).is_some(), "{}", found.results);
        assert!(found.properties().iter().any(|(name, value)| *name == "auth.dkim" && value == "temperror"));
    }

    #[tokio::test]
    async fn a_message_that_is_too_large_is_not_read_and_says_so() {
        let found = checker(10).check(question(SIGNED, "bruno@beta.example")).await;
        assert_eq!((found.dkim, found.dmarc), ("policy", "temperror"), "what was not looked at has not failed");
        assert!(found.results.contains("dkim=policy"), "{}", found.results);
        let plain = "From: a@b.example\r\n\r\nlong long body\r\n";
        assert_eq!(checker(10).check(question(plain, "")).await.dkim, "none");
    }

    #[tokio::test]
    async fn a_message_that_finds_no_room_is_not_waited_for() {
        let checker = checker(10_000);
        let all = checker.room.clone().acquire_many_owned((MEMORY / PAGE) as u32).await.unwrap();
        let found = checker.check(question(SIGNED, "bruno@beta.example")).await;
        assert_eq!((found.spf, found.dkim), ("temperror", "temperror"));
        assert!(found.results.contains("no room"), "{}", found.results);
        drop(all);
        assert!(!checker.check(question(SIGNED, "bruno@beta.example")).await.results.contains("no room"));
    }

    #[tokio::test]
    async fn nothing_that_a_stranger_writes_leaves_its_line() {
        let hostile = [
            "",
            "\r\n",
            "From: a@b\r\nFrom: c@d\r\n\r\n",
            "From: \"\r\n evil\"@x\r\n\r\n",
            "DKIM-Signature: v=1; d=a\r\n\tb; s=\"(\r\n\r\n",
            "From: \u{e8}@\u{e8}.example\r\nARC-Seal: i=1\r\nARC-Message-Signature: i=99\r\n\r\n",
        ];
        for message in hostile {
            for from in ["", "\"a; spf=pass\"@beta.example", "a@beta.example"] {
                let mut question = question(message, from);
                question.hello = "x; dkim=pass (".into();
                let found = checker(10_000).check(question).await;
                assert!(found.results.bytes().all(|b| matches!(b, b' '..=b'~')), "{}", found.results);
                assert_ne!(found.dkim, "pass");
            }
        }
    }

    #[tokio::test]
    async fn only_so_many_signatures_are_looked_at() {
        let line = SIGNED.split("\r\n").nth(1).unwrap();
        let message = format!("From: a@beta.example\r\n{}\r\n\r\n", vec![line; 1000].join("\r\n"));
        let found = checker(1_000_000).check(question(&message, "a@beta.example")).await;
        assert!(found.results.matches("dkim=").count() <= SIGNATURES_MAX, "{}", found.results);
    }
}
