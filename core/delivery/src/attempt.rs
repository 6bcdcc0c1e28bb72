//! One attempt to hand a message to the server of a domain.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sigillo_mail::{EnhancedCode, Envelope, Failure, Rope, Source};
use sigillo_smtp::client::tls::opportunistic_config;
use sigillo_smtp::client::{DeliveryReport, Target, TlsPolicy, deliver};
use sigillo_smtp::limits::Timeouts;

use crate::route::{NextHop, Router, Security};

/// Takes mail to other servers.
pub struct Courier {
    hello: String,
    router: Router,
    tls: Arc<ClientConfig>,
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// One for each recipient of the envelope, in its order: the words of the server that took charge, or why not.
    pub results: Vec<Result<String, Failure>>,
    /// The host that answered; none if none did.
    pub host: Option<String>,
    /// The TLS version under the transfer, if there was any.
    pub tls: Option<String>,
}

impl Attempt {
    fn of_all(envelope: &Envelope, failure: Failure) -> Attempt {
        Attempt { results: vec![Err(failure); envelope.recipients.len()], host: None, tls: None }
    }
}

impl Courier {
    /// `hello` is our own name; `tls` holds the roots for routes that demand verified TLS.
    pub fn new(hello: String, router: Router, tls: Arc<ClientConfig>) -> Courier {
        Courier { hello, router, tls }
    }

    /// The routes.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Tries the hosts of the recipients' next hop in order until one gives an answer. All recipients of the envelope
    /// must have the same [`Router::group`]. `encrypted`: never in clear, also where no route demands it.
    pub async fn attempt(
        &self,
        envelope: &Envelope,
        content: &Rope,
        source: Arc<dyn Source>,
        encrypted: bool,
    ) -> Attempt {
        let all = |failure: Failure| Attempt::of_all(envelope, failure);
        let Some(first) = envelope.recipients.first() else { return all(Failure::internal("no recipient")) };
        match self.router.next_hops(first.domain()).await {
            Ok(hops) => self.try_each(&hops, envelope, content, source, encrypted).await,
            Err(failure) => all(failure),
        }
    }

    async fn try_each(
        &self,
        hops: &[NextHop],
        envelope: &Envelope,
        content: &Rope,
        source: Arc<dyn Source>,
        encrypted: bool,
    ) -> Attempt {
        let all = |failure: Failure| Attempt::of_all(envelope, failure);
        let mut last = all(Failure::transient(EnhancedCode::NO_ANSWER, "No server of the domain could be reached"));
        for hop in hops {
            for address in &hop.addresses {
                let target = match self.target(hop, *address, encrypted) {
                    Ok(target) => target,
                    Err(failure) => return all(failure),
                };
                let report = deliver(&target, &self.hello, envelope, content, source.clone()).await;
                let in_doubt = report.in_doubt;
                last = attempt(report);
                // RFC 5321 §5.1: the next host is for when this one could not be used, not for a second opinion; and
                // what this one may have taken would be there twice at once.
                let unused = last.results.iter().all(|result| result.as_ref().is_err_and(|f| !f.is_permanent()));
                if !unused || in_doubt {
                    return last;
                }
            }
        }
        last
    }

    fn target(&self, hop: &NextHop, address: std::net::SocketAddr, encrypted: bool) -> Result<Target, Failure> {
        let name = || {
            ServerName::try_from(hop.host.clone())
                .map_err(|error| Failure::internal(format!("'{}' cannot be in a certificate: {error}", hop.host)))
        };
        let tls = match hop.security {
            Security::None => TlsPolicy::None,
            Security::Required => TlsPolicy::Required { name: name()?, config: self.tls.clone() },
            // A host found through DNS has no name that a certificate could prove, so any certificate will do.
            Security::Opportunistic if encrypted => {
                let config = opportunistic_config().ok_or_else(|| Failure::internal("TLS cannot be set up"))?;
                TlsPolicy::Required { name: name()?, config }
            }
            Security::Opportunistic => TlsPolicy::Opportunistic,
        };
        Ok(Target { host: hop.host.clone(), address, tls, timeouts: Timeouts::default() })
    }
}

fn attempt(report: DeliveryReport) -> Attempt {
    let words = |result: Result<sigillo_smtp::reply::Reply, Failure>| result.map(|reply| reply.text.into_owned());
    Attempt {
        results: report.recipients.into_iter().map(|(_, result)| words(result)).collect(),
        host: Some(report.host),
        tls: report.tls.map(|facts| facts.version),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use sigillo_mail::rope::NoSource;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that takes every message and answers its end with these words; counts what it took.
    async fn server(outcome: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, taken) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = taken.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let mut socket = BufReader::new(socket);
                let _ = socket.write_all(b"220 mx.test ESMTP\r\n").await;
                let (mut line, mut content) = (String::new(), false);
                while socket.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                    let said = match (content, line.trim_end()) {
                        (true, ".") => {
                            count.fetch_add(1, Ordering::SeqCst);
                            if outcome.is_empty() {
                                break;
                            }
                            content = false;
                            outcome
                        }
                        (true, _) => "",
                        (false, "DATA") => {
                            content = true;
                            "354 go\r\n"
                        }
                        (false, _) => "250 ok\r\n",
                    };
                    let _ = socket.write_all(said.as_bytes()).await;
                    line.clear();
                }
            }
        });
        (address, taken)
    }

    async fn attempt_at(addresses: Vec<SocketAddr>) -> Attempt {
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let tls = tls.with_safe_default_protocol_versions().unwrap();
        let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        let courier = Courier::new("client.test".into(), Router::new(Vec::new()), Arc::new(tls));
        let envelope = Envelope {
            reverse_path: "ada@alfa.test".parse().unwrap(),
            recipients: vec!["bob@beta.test".parse().unwrap()],
            eight_bit: false,
        };
        let hops = [NextHop { host: "mx.test".into(), addresses, security: Security::None }];
        courier.try_each(&hops, &envelope, &Rope::from_bytes("a\r\n"), Arc::new(NoSource), false).await
    }

    /// RFC 1047: a server that had all of the content and gave no reply may have taken it.
    #[tokio::test]
    async fn what_a_server_may_have_taken_is_not_given_to_the_next_one_at_once() {
        for silent in ["", "<html>what is this</html>\r\n"] {
            let ((first, taken), (second, doubled)) = (server(silent).await, server("250 ok\r\n").await);
            let attempt = attempt_at(vec![first, second]).await;
            assert!(attempt.results[0].as_ref().is_err_and(|failure| !failure.is_permanent()), "{attempt:?}");
            assert_eq!((taken.load(Ordering::SeqCst), doubled.load(Ordering::SeqCst)), (1, 0), "{silent:?}");
        }
    }

    #[tokio::test]
    async fn what_a_server_has_not_taken_the_next_one_gets() {
        for refusal in ["451 4.3.0 not now\r\n", "421 4.3.2 going\r\n"] {
            let ((first, _), (second, taken)) = (server(refusal).await, server("250 ok\r\n").await);
            assert!(attempt_at(vec![first, second]).await.results[0].is_ok());
            assert_eq!(taken.load(Ordering::SeqCst), 1);
        }
        let (second, _) = server("250 ok\r\n").await;
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert!(attempt_at(vec![nobody, second]).await.results[0].is_ok());
    }
}
