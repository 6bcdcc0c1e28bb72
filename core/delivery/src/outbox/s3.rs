//! Objects deposited by the S3 protocol (Signature Version 4, path style).
//!
//! The object is put with its SHA-256, which a server that knows the field checks itself, and on the condition that
//! nothing has its name yet; then it is looked at: size and digest must be those of what was sent. Where the server says
//! no digest, the object is read back. An object that is there already is compared the same way, so that a request made
//! twice is there once.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
pub use rusty_s3::Credentials;
use rusty_s3::{Bucket, S3Action, UrlStyle};
use sha2::{Digest, Sha256};

use super::fetch::{Fetch, FetchError, Pieces};
use super::web::{Web, WebAnswer, WebError, WebRequest};
use super::{Attempt, Protocol, Request, Said, words};

/// Octets of the name of an object (the protocol's own limit).
pub const NAME_OCTETS_MAX: usize = 1024;
/// Octets of the names and values of an object's metadata (the protocol's own limit).
const METADATA_MAX: usize = 2048;
/// Octets of one object that is put at once (the protocol's own limit).
pub const OBJECT_OCTETS_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// How long a signature holds: a clock may differ by some minutes, and a slow upload may take its time.
const SIGNATURE_LIFE: Duration = Duration::from_secs(3600);
/// Headers of the protocol.
const CHECKSUM: &str = "x-amz-checksum-sha256";
const CHECKSUM_MODE: &str = "x-amz-checksum-mode";
const METADATA: &str = "x-amz-meta-";

/// A bucket as the operator describes it.
pub struct S3Options {
    /// The exchange with its server, whose base is empty.
    pub web: Web,
    /// The bucket at its server.
    pub bucket: Bucket,
    /// Who we are there.
    pub credentials: Credentials,
    /// Before the name of every object; empty, or ending with `/`.
    pub prefix: String,
    /// Whether `If-None-Match: *` is sent: some servers do not know it.
    pub if_none_match: bool,
}

/// The bucket of this name at this endpoint, path style; the words say what is wrong.
pub fn bucket(endpoint: &str, region: &str, name: &str) -> Result<Bucket, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if !(3..=255).contains(&name.len()) || !name.bytes().all(fits) || name.starts_with('.') {
        return Err(format!("bucket '{name}': wants 3 to 255 letters, digits and '-._'"));
    }
    let url = endpoint.parse().map_err(|error| format!("endpoint '{endpoint}': {error}"))?;
    Bucket::new(url, UrlStyle::Path, name.to_owned(), region.to_owned()).map_err(|error| format!("endpoint: {error}"))
}

/// The protocol with one bucket. Parameters: `object`, `metadata.NAME`.
pub struct S3 {
    options: S3Options,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bucket {}", self.options.bucket.name())
    }
}

/// What lies under a name.
enum There {
    Nothing,
    Same,
    Other,
}

impl S3 {
    /// Connects nowhere yet.
    pub fn new(options: S3Options) -> S3 {
        S3 { options }
    }

    fn name(&self, parameters: &[(String, String)]) -> Result<String, String> {
        let object = parsed(parameters)?.0;
        Ok(format!("{}{object}", self.options.prefix))
    }

    /// A request that is signed: its path with the signature, and the fields that it covers.
    fn signed<'a>(&self, mut action: impl S3Action<'a>, fields: &'a [(String, String)], method: Method) -> WebRequest {
        for (name, value) in fields {
            action.headers_mut().insert(name.as_str(), value.as_str());
        }
        let url = action.sign(SIGNATURE_LIFE);
        let header = |(name, value): &(String, String)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        };
        WebRequest {
            method,
            path_and_query: format!("{}?{}", url.path(), url.query().unwrap_or_default()),
            headers: fields.iter().filter_map(header).collect(),
            content: None,
        }
    }

    async fn head(&self, name: &str) -> Result<WebAnswer, WebError> {
        let fields = [(CHECKSUM_MODE.to_owned(), "ENABLED".to_owned())];
        let action = self.options.bucket.head_object(Some(&self.options.credentials), name);
        self.options.web.exchange(self.signed(action, &fields, Method::HEAD)).await
    }

    /// Compares what lies under a name with what is to.
    async fn look(&self, name: &str, size: u64, sha256: &[u8; 32]) -> Result<There, Attempt> {
        let answer = self.head(name).await.map_err(broken)?;
        match answer.status {
            200 => {}
            404 => return Ok(There::Nothing),
            _ => return Err(judge(&answer, "looking whether it is there")),
        }
        match number(&answer.headers, CONTENT_LENGTH) {
            Some(there) if there == size => {}
            Some(_) => return Ok(There::Other),
            // Every server of the protocol says it (of an empty object, too).
            None => return Err(Attempt::away("it says of no object how large it is: that is no S3 server")),
        }
        let told = answer.headers.get(CHECKSUM).and_then(|value| value.to_str().ok());
        let found = match told {
            Some(told) => told.as_bytes() == STANDARD.encode(sha256).as_bytes(),
            None => self.read_back(name, size).await? == *sha256,
        };
        Ok(if found { There::Same } else { There::Other })
    }

    /// SHA-256 of what lies there.
    async fn read_back(&self, name: &str, size: u64) -> Result<[u8; 32], Attempt> {
        let (sender, mut pieces) = tokio::sync::mpsc::channel::<Bytes>(4);
        let hashed = async move {
            let mut hash = Sha256::new();
            while let Some(piece) = pieces.recv().await {
                hash.update(&piece);
            }
            hash.finalize().into()
        };
        let read = async move { self.get(name, 0, size, &sender).await };
        let (read, hash) = tokio::join!(read, hashed);
        match read {
            Ok(()) => Ok(hash),
            Err(why) => Err(Attempt::Later { said: Said::words(why.to_string()), away: false, wait: None }),
        }
    }

    async fn get(&self, name: &str, offset: u64, length: u64, pieces: &Pieces) -> Result<(), FetchError> {
        let action = self.options.bucket.get_object(Some(&self.options.credentials), name);
        self.options.web.fetch_range(self.signed(action, &[], Method::GET), offset, length, pieces).await
    }

    async fn put(&self, request: &Request) -> Result<Attempt, Attempt> {
        let wrong = |why: String| Attempt::Refused(Said::words(why));
        let name = self.name(&request.parameters).map_err(wrong)?;
        let (_, metadata) = parsed(&request.parameters).map_err(wrong)?;
        let (content, source) = (request.content.clone().unwrap_or_default(), request.source.clone());
        let size = content.len();
        let digest = tokio::task::spawn_blocking(move || content.sha256(&*source)).await;
        let digest = digest.map_err(|error| error.to_string()).and_then(|done| done.map_err(|error| error.to_string()));
        let sha256 = digest.map_err(|why| Attempt::Later { said: Said::words(why), away: false, wait: None })?;
        let there = |what: &str| Ok(Attempt::Done(Said { code: Some(200), ..Said::words(what) }));
        let taken = || Ok(wrong(format!("another object has the name {name}")));
        match self.look(&name, size, &sha256).await? {
            There::Same => return there("it was there already, the same"),
            There::Other => return taken(),
            There::Nothing => {}
        }
        let mut fields = vec![(CHECKSUM.to_owned(), STANDARD.encode(sha256))];
        fields.extend(metadata.into_iter().map(|(name, value)| (format!("{METADATA}{name}"), value.to_owned())));
        let action = self.options.bucket.put_object(Some(&self.options.credentials), &name);
        let mut put = self.signed(action, &fields, Method::PUT);
        put.headers.push((CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")));
        if self.options.if_none_match {
            put.headers.push((hyper::header::IF_NONE_MATCH, HeaderValue::from_static("*")));
        }
        put.content = Some(request.upload(0));
        let answer = self.options.web.exchange(put).await.map_err(broken)?;
        // RFC 9110 §15.5.13: somebody was faster. The look says who.
        if !matches!(answer.status, 200 | 201 | 204 | 412) {
            return Err(judge(&answer, "putting it"));
        }
        match self.look(&name, size, &sha256).await? {
            There::Same => there("stored"),
            There::Other if answer.status == 412 => taken(),
            There::Other => Ok(Attempt::Later {
                said: Said::words("what lies there is not what was sent"),
                away: false,
                wait: None,
            }),
            There::Nothing => {
                Ok(Attempt::Later { said: Said::words("it is not there after it was put"), away: false, wait: None })
            }
        }
    }
}

fn number(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn broken(error: WebError) -> Attempt {
    match error {
        WebError::Content(why) => Attempt::Later { said: Said::words(why), away: false, wait: None },
        WebError::Away(why) => Attempt::away(why),
    }
}

/// An answer that is no success. Only what the operator of neither side can mend is for good.
fn judge(answer: &WebAnswer, what: &str) -> Attempt {
    let body = String::from_utf8_lossy(&answer.body);
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map_or("", |(code, _)| code);
    let text = words(format!("{what}: {} {code}", answer.status).as_bytes());
    let said = Said { code: Some(u32::from(answer.status)), text, body: answer.body.clone() };
    if code == "EntityTooLarge" || answer.status == 413 {
        return Attempt::Refused(said);
    }
    // RFC 9110 §15.6.3 and §15.6.5: whoever answers for the service says that the service is away.
    Attempt::Later { said, away: matches!(answer.status, 502..=504), wait: answer.retry_after }
}

/// The object's name, and its metadata by name.
type Parsed<'a> = (&'a str, Vec<(String, &'a str)>);

fn parsed(parameters: &[(String, String)]) -> Result<Parsed<'_>, String> {
    let (mut object, mut metadata) = (None, Vec::new());
    for (name, value) in parameters {
        if name == "object" && object.is_none() {
            object = Some(value.as_str());
        } else if let Some(name) = name.strip_prefix("metadata.") {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if name.is_empty() || !name.bytes().all(plain) || !value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
                return Err(format!("metadata.{name}: lower-case letters, digits and '-', with printable ASCII"));
            }
            metadata.push((name.to_owned(), value.trim()));
        } else {
            return Err(format!("parameter '{name}' is unknown or stands twice; s3 takes object and metadata.NAME"));
        }
    }
    if metadata.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > METADATA_MAX {
        return Err(format!("metadata has at most {METADATA_MAX} octets"));
    }
    let object = object.ok_or("an s3 target wants the parameter 'object'")?;
    let plain = |name: &str| !name.is_empty() && name != "." && name != ".." && !name.chars().any(char::is_control);
    if object.len() > NAME_OCTETS_MAX || !object.split('/').all(plain) {
        return Err(format!("object '{}' is no name below the prefix of the target", words(object.as_bytes())));
    }
    Ok((object, metadata))
}

#[async_trait]
impl Protocol for S3 {
    fn check(&self, parameters: &[(String, String)], size: Option<u64>) -> Result<(), String> {
        parsed(parameters)?;
        match size {
            None => Err("an s3 target wants content: the object".into()),
            Some(size) if size > OBJECT_OCTETS_MAX => Err(format!("an object has at most {OBJECT_OCTETS_MAX} octets")),
            Some(_) => Ok(()),
        }
    }

    async fn attempt(&self, request: &Request) -> Attempt {
        self.put(request).await.unwrap_or_else(|failed| failed)
    }

    async fn fetch(&self, fetch: &Fetch, pieces: Pieces) -> Result<(), FetchError> {
        let name = self.name(&fetch.parameters).map_err(FetchError::Invalid)?;
        self.get(&name, fetch.offset, fetch.length, &pieces).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_lies_below_the_prefix() {
        let check = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            parsed(&pairs).map(|(object, metadata)| (object.to_owned(), metadata.len()))
        };
        assert_eq!(check(&[("object", "a/b.tar"), ("metadata.package", "x")]), Ok(("a/b.tar".into(), 1)));
        for wrong in ["", "/a", "a//b", "../a", "a/./b", "a\nb"] {
            assert!(check(&[("object", wrong)]).is_err(), "{wrong}");
        }
        assert!(check(&[]).is_err());
        assert!(check(&[("object", "a"), ("path", "b")]).unwrap_err().contains("'path'"));
        assert!(check(&[("object", "a"), ("metadata.A b", "x")]).is_err());
        assert!(check(&[("object", "a"), ("metadata.a", "x\r\ny")]).is_err());
    }

    #[test]
    fn a_bucket_has_a_name_and_an_endpoint() {
        assert!(bucket("https://s3.example", "eu-south-1", "conservazione").is_ok());
        assert!(bucket("ftp://s3.example", "eu-south-1", "conservazione").is_err());
        assert!(bucket("https://s3.example", "eu-south-1", "a/b").is_err());
    }
}
