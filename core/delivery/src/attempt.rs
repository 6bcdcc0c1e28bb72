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
        let all = |failure: Failure| Attempt {
            results: vec![Err(failure); envelope.recipients.len()],
            host: None,
            tls: None,
        };
        let Some(first) = envelope.recipients.first() else { return all(Failure::internal("no recipient")) };
        let hops = match self.router.next_hops(first.domain()).await {
            Ok(hops) => hops,
            Err(failure) => return all(failure),
        };
        let mut last = all(Failure::transient(EnhancedCode::NO_ANSWER, "No server of the domain could be reached"));
        for hop in &hops {
            for address in &hop.addresses {
                let target = match self.target(hop, *address, encrypted) {
                    Ok(target) => target,
                    Err(failure) => return all(failure),
                };
                let report = deliver(&target, &self.hello, envelope, content, source.clone()).await;
                last = attempt(report);
                // RFC 5321 §5.1: the next host is for when this one could not be used, not for a second opinion.
                let unused = last.results.iter().all(|result| result.as_ref().is_err_and(|f| !f.is_permanent()));
                if !unused {
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
