//! Decides where a recipient's mail goes next, when to try again, and what to tell a sender when it cannot get there.
//!
//! *What it does*: static routes and MX look-ups (RFC 5321 §5.1), the schedule of attempts (§4.5.4), reports of failure
//! (RFC 3464), one attempt over the SMTP client, one exchange over HTTP, the questions to virus scanners (clamd,
//! ICAP), and one attempt at a request of the outbox (HTTP, SMPP).
//! *What it never does*: change the queue; the server does that with what is returned here.
//! *What it trusts*: the operator's routes. DNS answers are bounded and ordered, never believed about TLS; a scanner is
//! believed only where its answer is whole.
//! *Standards*: RFC 5321 §4.5.4, §5; RFC 3464; RFC 3462; RFC 7505; RFC 9110; RFC 3507.
//! *When it fails*: with a [`sigillo_mail::Failure`] that says whether trying again can help.
#![forbid(unsafe_code)]

pub mod attempt;
pub mod http;
pub mod outbox;
pub mod report;
pub mod route;
pub mod scan;
pub mod schedule;

pub use attempt::{Attempt, Courier};
pub use http::{HttpClient, HttpError};
pub use hyper::header::{HeaderName, HeaderValue};
pub use report::{Failed, failure_report};
pub use route::{NextHop, Route, Router, Security};
pub use scan::{ScanError, ScanReport, Scanner, ScannerOptions, Scanners};
pub use schedule::Schedule;
