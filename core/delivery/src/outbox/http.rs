//! A target that speaks HTTP ([RFC 9110]): a gateway for SMS, a deposit, any service with a request and an answer.
//!
//! A request's parameters: `method` (POST with content, GET without), `path` below the target's URL, `header.NAME`,
//! `query.NAME`. Every attempt bears the same `Idempotency-Key`, so that a service that knows the field does once what it
//! is asked twice. What an answer's status means is a table: the operator's word for the code, else for its class.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};

use super::fetch::{Fetch, FetchError, Pieces};
use super::web::{Web, WebAnswer, WebError, WebRequest};
use super::{Attempt, Protocol, Request, Said, words};

/// Octets of a path.
const PATH_MAX: usize = 2000;
/// Octets of the value of one header field or of one item of the query.
const VALUE_MAX: usize = 8000;
/// Fields that belong to the connection, to the framing or to the operator: no request sets them.
const TAKEN: [&str; 14] = [
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "content-length",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "authorization",
    "proxy-authorization",
    "cookie",
    "idempotency-key",
];

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The target took the request.
    Done,
    /// It will not.
    Refused,
    /// It may later.
    Retry,
}

/// What each status means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meanings {
    codes: BTreeMap<u16, Meaning>,
    /// By the first digit.
    classes: BTreeMap<u16, Meaning>,
}

impl Default for Meanings {
    /// RFC 9110 §15. What an operator or the passing of time can mend is tried again until the request expires: a wrong
    /// password (401, 403, 407), a path that is not there yet (404), too much at once (429).
    fn default() -> Meanings {
        let retry = [401, 403, 404, 407, 408, 421, 423, 425, 429];
        let refused = [501, 505];
        let codes = retry.map(|code| (code, Meaning::Retry)).into_iter();
        Meanings {
            codes: codes.chain(refused.map(|code| (code, Meaning::Refused))).collect(),
            classes: BTreeMap::from([
                (2, Meaning::Done),
                (3, Meaning::Refused),
                (4, Meaning::Refused),
                (5, Meaning::Retry),
            ]),
        }
    }
}

impl Meanings {
    /// Gives a code (`409`) or a class (`4xx`) another meaning; the words say what is wrong with the name. A class takes
    /// its codes along, so name it before its exceptions.
    pub fn set(&mut self, name: &str, meaning: Meaning) -> Result<(), String> {
        let class = name.strip_suffix("xx").and_then(|digit| digit.parse::<u16>().ok());
        match (class, name.parse::<u16>()) {
            (Some(class @ 1..=5), _) => {
                self.codes.retain(|code, _| code / 100 != class);
                self.classes.insert(class, meaning);
            }
            (None, Ok(code @ 100..=599)) => {
                self.codes.insert(code, meaning);
            }
            _ => return Err(format!("'{name}' is neither a status such as 409 nor a class such as 4xx")),
        }
        Ok(())
    }

    /// The meaning of a status; what has none is tried again.
    pub fn of(&self, status: u16) -> Meaning {
        let meaning = self.codes.get(&status).or_else(|| self.classes.get(&(status / 100)));
        meaning.copied().unwrap_or(Meaning::Retry)
    }
}

/// How requests show who asks.
#[derive(Clone)]
pub enum Auth {
    /// Nobody is asked.
    None,
    /// A header field, such as `Authorization` (RFC 7617 §2) or `X-Api-Key`.
    Header {
        /// Its name.
        name: HeaderName,
        /// The secret.
        value: HeaderValue,
    },
    /// An item of the query, for services that know nothing else.
    Query {
        /// Its name.
        name: String,
        /// The secret.
        value: String,
    },
}

/// A target that speaks HTTP.
pub struct HttpTarget {
    web: Web,
    auth: Auth,
    /// Fields that every request has.
    headers: Vec<(HeaderName, HeaderValue)>,
    meanings: Meanings,
}

impl HttpTarget {
    /// As the configuration says.
    pub fn new(web: Web, auth: Auth, headers: Vec<(HeaderName, HeaderValue)>, meanings: Meanings) -> HttpTarget {
        HttpTarget { web, auth, headers, meanings }
    }

    fn build(&self, request: &Request) -> Result<WebRequest, String> {
        let mut built = parsed(&request.parameters, request.content.is_some())?;
        for (name, value) in &self.headers {
            // The plugin's own word, such as `content-type`, comes before the operator's.
            if !built.headers.iter().any(|(given, _)| given == name) {
                built.headers.push((name.clone(), value.clone()));
            }
        }
        // What is only read has none: a service that knows the field would give every reading the first one's answer.
        if !request.key.is_empty() {
            let key = HeaderValue::from_str(&request.key).map_err(|error| error.to_string())?;
            built.headers.push((HeaderName::from_static("idempotency-key"), key));
        }
        match &self.auth {
            Auth::None => {}
            Auth::Header { name, value } => {
                built.headers.retain(|(given, _)| given != name);
                built.headers.push((name.clone(), value.clone()));
            }
            Auth::Query { name, value } => add_query(&mut built.path_and_query, name, value),
        }
        if request.content.is_some() {
            built.content = Some(request.upload(0));
        }
        Ok(built)
    }

    fn judge(&self, answer: WebAnswer) -> Attempt {
        let said = Said {
            code: Some(u32::from(answer.status)),
            text: match &answer.location {
                Some(location) if answer.status / 100 == 3 => {
                    words(format!("redirects are not followed: {location}").as_bytes())
                }
                _ => words(answer.body.split(|octet| *octet == b'\n').next().unwrap_or_default()),
            },
            body: answer.body,
        };
        match self.meanings.of(answer.status) {
            Meaning::Done if answer.early => {
                let said = Said { text: "it answered before it had the whole content".into(), ..said };
                Attempt::Later { said, away: true, wait: None }
            }
            Meaning::Done => Attempt::Done(said),
            Meaning::Refused => Attempt::Refused(said),
            // RFC 9110 §15.6.3 and §15.6.5: whoever answers for the service says that the service is away.
            Meaning::Retry => {
                Attempt::Later { said, away: matches!(answer.status, 502..=504), wait: answer.retry_after }
            }
        }
    }
}

#[async_trait]
impl Protocol for HttpTarget {
    fn check(&self, parameters: &[(String, String)], size: Option<u64>) -> Result<(), String> {
        parsed(parameters, size.is_some()).map(drop)
    }

    async fn attempt(&self, request: &Request) -> Attempt {
        let built = match self.build(request) {
            Ok(built) => built,
            Err(why) => return Attempt::Refused(Said::words(why)),
        };
        match self.web.exchange(built).await {
            Ok(answer) => self.judge(answer),
            Err(WebError::Content(why)) => Attempt::Later { said: Said::words(why), away: false, wait: None },
            Err(error) => Attempt::away(error.to_string()),
        }
    }

    async fn fetch(&self, fetch: &Fetch, pieces: Pieces) -> Result<(), FetchError> {
        let request = Request {
            key: String::new(),
            parameters: fetch.parameters.clone(),
            content: None,
            source: Arc::new(sigillo_mail::rope::NoSource),
            attempt: 1,
        };
        let built = self.build(&request).map_err(FetchError::Invalid)?;
        if built.method != Method::GET {
            return Err(FetchError::Invalid("what is read back is asked for with GET".into()));
        }
        self.web.fetch_range(built, fetch.offset, fetch.length, &pieces).await
    }
}

/// The parameters as a request; whatever could end a line, leave the base or set a field that is not the plugin's is
/// refused.
fn parsed(parameters: &[(String, String)], content: bool) -> Result<WebRequest, String> {
    let (mut method, mut path, mut headers) = (None, None, Vec::new());
    let mut query = String::new();
    for (name, value) in parameters {
        if value.len() > VALUE_MAX {
            return Err(format!("parameter '{name}' has more than {VALUE_MAX} octets"));
        }
        if let Some(field) = name.strip_prefix("header.") {
            headers.push(header(field, value)?);
        } else if let Some(item) = name.strip_prefix("query.") {
            add_query(&mut query, item, value);
        } else if name == "method" && method.is_none() {
            method = Some(read_method(value)?);
        } else if name == "path" && path.is_none() {
            path = Some(read_path(value)?);
        } else {
            let known = "method, path, header.NAME and query.NAME";
            return Err(format!("parameter '{name}' is unknown or stands twice; http takes {known}"));
        }
    }
    let method = method.unwrap_or(if content { Method::POST } else { Method::GET });
    if content && method == Method::GET {
        return Err("a request with method GET has no content".into());
    }
    let path_and_query = format!("{}{query}", path.unwrap_or_default());
    Ok(WebRequest { method, path_and_query, headers, content: None })
}

fn read_method(text: &str) -> Result<Method, String> {
    match text {
        "GET" => Ok(Method::GET),
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        "PATCH" => Ok(Method::PATCH),
        "DELETE" => Ok(Method::DELETE),
        _ => Err(format!("method '{text}' is none of GET, POST, PUT, PATCH, DELETE")),
    }
}

/// RFC 3986 §3.3: segments that stay below the base.
fn read_path(text: &str) -> Result<String, String> {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%/".contains(&octet);
    let leaves = |segment: &str| {
        let plain = segment.replace("%2e", ".").replace("%2E", ".");
        plain == "." || plain == ".."
    };
    if text.len() > PATH_MAX || !text.bytes().all(fits) || text.split('/').any(leaves) {
        return Err(format!("'{}' is no path below the target's URL", words(text.as_bytes())));
    }
    Ok(if text.is_empty() || text.starts_with('/') { text.to_owned() } else { format!("/{text}") })
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = |why: &str| format!("header '{}' {why}", words(name.as_bytes()));
    let field = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("has a name that is none"))?;
    if TAKEN.contains(&field.as_str()) {
        return Err(wrong("is set by the server alone"));
    }
    let value = HeaderValue::from_str(value).map_err(|_| wrong("has a value that is not one line of ASCII"))?;
    Ok((field, value))
}

fn add_query(query: &mut String, name: &str, value: &str) {
    query.push(if query.contains('?') { '&' } else { '?' });
    encode(query, name);
    query.push('=');
    encode(query, value);
}

/// Percent-encoding of everything but the unreserved characters (RFC 3986 §2.3).
fn encode(out: &mut String, text: &str) {
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parameters: &[(&str, &str)]) -> Result<WebRequest, String> {
        let owned: Vec<_> = parameters.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        parsed(&owned, false)
    }

    #[test]
    fn nothing_leaves_the_base_or_ends_a_line() {
        let request = read(&[("path", "send"), ("query.text", "due & tre"), ("header.X-A", "b")]).unwrap();
        assert_eq!(request.path_and_query, "/send?text=due%20%26%20tre");
        for wrong in [
            ("path", "/../admin"),
            ("path", "/%2e%2e/admin"),
            ("path", "/a?b=c"),
            ("path", "/a b"),
            ("path", "//\r\nHost: x"),
            ("header.Host", "inside.example"),
            ("header.Authorization", "Basic x"),
            ("header.Transfer-Encoding", "chunked"),
            ("header.X-A", "b\r\nX-B: c"),
            ("header.X A", "b"),
            ("method", "CONNECT"),
            ("url", "http://inside.example"),
        ] {
            assert!(read(&[wrong]).is_err(), "{wrong:?}");
        }
        assert!(parsed(&[("method".into(), "GET".into())], true).is_err());
    }

    #[test]
    fn a_status_means_what_the_operator_says_and_else_what_the_standard_does() {
        let mut meanings = Meanings::default();
        for (status, meaning) in [
            (200, Meaning::Done),
            (202, Meaning::Done),
            (301, Meaning::Refused),
            (400, Meaning::Refused),
            (401, Meaning::Retry),
            (429, Meaning::Retry),
            (500, Meaning::Retry),
            (501, Meaning::Refused),
            (100, Meaning::Retry),
            (999, Meaning::Retry),
        ] {
            assert_eq!(meanings.of(status), meaning, "{status}");
        }
        meanings.set("4xx", Meaning::Refused).unwrap();
        meanings.set("409", Meaning::Done).unwrap();
        assert_eq!((meanings.of(401), meanings.of(409)), (Meaning::Refused, Meaning::Done));
        for wrong in ["", "xx", "9xx", "99", "600", "4x", "done"] {
            assert!(meanings.set(wrong, Meaning::Done).is_err(), "{wrong}");
        }
    }
}
