//! The next hop of a domain: a static route, or its mail exchangers ([RFC 5321 §5.1]).

use std::net::SocketAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use sigillo_mail::{Domain, EnhancedCode, Failure};

/// Exchangers tried for one domain; more are left out. Bounds what a hostile zone can make us do (attack P19).
pub const EXCHANGERS_MAX: usize = 10;
/// Addresses tried for one exchanger.
pub const ADDRESSES_MAX: usize = 4;
/// RFC 5321 §2.3.1.
const SMTP_PORT: u16 = 25;

/// What the connection to a next hop must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS with a verified certificate, or no mail.
    Required,
    /// TLS where offered; the certificate is noted, not demanded.
    Opportunistic,
    /// In clear: for tests and closed networks.
    None,
}

/// Where to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextHop {
    /// The name that the certificate must show.
    pub host: String,
    /// Addresses to try in order.
    pub addresses: Vec<SocketAddr>,
    /// What the connection must be.
    pub security: Security,
}

/// A static route: what an operator knows better than DNS.
#[derive(Debug, Clone)]
pub struct Route {
    /// The domain, or none for every domain without a route of its own.
    pub domain: Option<Domain>,
    /// `host:port` or `address:port`.
    pub to: String,
    /// The name that the certificate must show; the host of `to` if absent.
    pub server_name: Option<String>,
    /// What the connection must be.
    pub security: Security,
}

/// Finds next hops.
pub struct Router {
    routes: Vec<Route>,
    resolver: Option<TokioResolver>,
}

impl Router {
    /// With these routes first. Without a usable resolver configuration only the routes and address literals work, and
    /// every other domain is tried again later.
    pub fn new(routes: Vec<Route>) -> Router {
        let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        if let Err(error) = &resolver {
            tracing::warn!(%error, "no DNS resolver: mail goes by static routes only");
        }
        Router { routes, resolver: resolver.ok() }
    }

    /// A word for a domain such that recipients with the same word may share a connection.
    pub fn group(&self, domain: &Domain) -> String {
        self.route(domain).map_or_else(|| domain.to_string(), |route| format!("{} {:?}", route.to, route.security))
    }

    fn route(&self, domain: &Domain) -> Option<&Route> {
        let own = self.routes.iter().find(|route| route.domain.as_ref() == Some(domain));
        own.or_else(|| self.routes.iter().find(|route| route.domain.is_none()))
    }

    /// The hosts to try for a domain, in order.
    pub async fn next_hops(&self, domain: &Domain) -> Result<Vec<NextHop>, Failure> {
        if let Some(route) = self.route(domain) {
            return Ok(vec![static_hop(route).await?]);
        }
        if domain.is_literal() {
            return literal_hop(domain).map(|hop| vec![hop]);
        }
        self.exchangers(domain).await
    }

    /// The MX records of a domain: preference and name without its last dot, the preferred first. A route does not count.
    pub async fn mail_exchangers(&self, domain: &Domain) -> Result<Vec<(u16, String)>, Failure> {
        let resolver = self.resolver.as_ref().ok_or_else(|| no_dns("no resolver is configured"))?;
        let mut hosts: Vec<(u16, String)> = match resolver.mx_lookup(format!("{domain}.")).await {
            Ok(lookup) => {
                let mx = |record: &hickory_resolver::proto::rr::Record| match &record.data {
                    RData::MX(mx) => Some((mx.preference, mx.exchange.to_utf8().trim_end_matches('.').to_owned())),
                    _ => None,
                };
                lookup.answers().iter().filter_map(mx).collect()
            }
            Err(error) if error.is_nx_domain() => {
                return Err(Failure::permanent(
                    EnhancedCode::BAD_DESTINATION_SYSTEM,
                    format!("Domain {domain} does not exist"),
                ));
            }
            Err(error) if error.is_no_records_found() => Vec::new(),
            Err(error) => return Err(no_dns(&error.to_string())),
        };
        hosts.sort();
        Ok(hosts)
    }

    async fn exchangers(&self, domain: &Domain) -> Result<Vec<NextHop>, Failure> {
        let resolver = self.resolver.as_ref().ok_or_else(|| no_dns("no resolver is configured"))?;
        let mut hosts = self.mail_exchangers(domain).await?;
        // RFC 5321 §5.1: without MX records the domain itself is the exchanger.
        if hosts.is_empty() {
            hosts.push((0, domain.to_string()));
        }
        // RFC 7505 §3: a null MX says that the domain takes no mail.
        if let [(_, only)] = hosts.as_slice()
            && only.is_empty()
        {
            let words = format!("Domain {domain} does not accept mail");
            return Err(Failure::permanent(EnhancedCode(5, 1, 10), words));
        }
        let mut hops = Vec::new();
        for (_, host) in hosts.into_iter().take(EXCHANGERS_MAX) {
            if let Ok(found) = resolver.lookup_ip(format!("{host}.")).await {
                let addresses = found.iter().take(ADDRESSES_MAX).map(|ip| SocketAddr::new(ip, SMTP_PORT)).collect();
                hops.push(NextHop { host, addresses, security: Security::Opportunistic });
            }
        }
        if hops.is_empty() { Err(no_dns("no exchanger has an address")) } else { Ok(hops) }
    }
}

fn no_dns(detail: &str) -> Failure {
    // RFC 3463 §3.5: 4.4.3, directory server failure.
    let failure = Failure::transient(EnhancedCode(4, 4, 3), "Cannot find where the domain takes its mail");
    Failure { detail: Some(detail.to_owned()), ..failure }
}

async fn static_hop(route: &Route) -> Result<NextHop, Failure> {
    let found = tokio::net::lookup_host(&route.to).await.map_err(|error| no_dns(&format!("{}: {error}", route.to)))?;
    let host = route.to.rsplit_once(':').map_or(route.to.as_str(), |(host, _)| host);
    Ok(NextHop {
        host: route.server_name.clone().unwrap_or_else(|| host.trim_matches(['[', ']']).to_owned()),
        addresses: found.take(ADDRESSES_MAX).collect(),
        security: route.security,
    })
}

fn literal_hop(domain: &Domain) -> Result<NextHop, Failure> {
    let inside = domain.as_str().trim_matches(['[', ']']).trim_start_matches("ipv6:");
    let ip = inside
        .parse::<std::net::IpAddr>()
        .map_err(|_| Failure::permanent(EnhancedCode::BAD_DESTINATION_SYSTEM, format!("{domain} is not an address")))?;
    let addresses = vec![SocketAddr::new(ip, SMTP_PORT)];
    Ok(NextHop { host: inside.to_owned(), addresses, security: Security::Opportunistic })
}
