//! Command lines, parsed ([RFC 5321 §4.1.1], [§4.1.2]).
//!
//! `smtp-proto` knows verbs and parameters. Paths are cut out here, because it gives quoted local parts without their
//! quotes: `<"a@b"@c>` would read as another address than the one that was written.

use std::borrow::Cow;

use sigillo_mail::{Domain, Mailbox, ReversePath};
use smtp_proto::request::parser::Rfc5321Parser;
use smtp_proto::{Error, MAIL_BODY_7BIT, MAIL_BODY_8BITMIME, Request};

use crate::reply::Reply;

/// One command, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// HELO with what the client calls itself.
    Helo(String),
    /// EHLO with what the client calls itself.
    Ehlo(String),
    /// MAIL.
    Mail(ReversePath, MailParameters),
    /// RCPT.
    Rcpt(ForwardPath),
    /// DATA.
    Data,
    /// RSET.
    Rset,
    /// NOOP, with or without an argument.
    Noop,
    /// QUIT.
    Quit,
    /// STARTTLS. RFC 3207.
    StartTls,
    /// AUTH with the mechanism's name and the initial response as sent. RFC 4954.
    Auth(String, Option<String>),
    /// VRFY, whatever it asks.
    Vrfy,
    /// HELP, whatever it asks.
    Help,
}

/// What MAIL said beside the path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// `SIZE=`, octets. RFC 1870.
    pub size: Option<u64>,
    /// `BODY=8BITMIME`. RFC 6152.
    pub eight_bit: bool,
}

/// The argument of RCPT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardPath {
    /// An address.
    Mailbox(Mailbox),
    /// `<Postmaster>`, which needs no domain. RFC 5321 §4.5.1.
    Postmaster,
}

/// Verbs of HTTP: a browser made to post to us by a hostile page, whose body lines are the attacker's commands.
const HTTP_VERBS: [&str; 8] = ["GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH"];

/// Whether a line begins as an HTTP request does (ALPACA and older cross-protocol attacks): the session ends.
pub fn is_http(line: &[u8]) -> bool {
    HTTP_VERBS.iter().any(|verb| {
        line.len() > verb.len() && line[..verb.len()].eq_ignore_ascii_case(verb.as_bytes()) && line[verb.len()] == b' '
    })
}

impl Command {
    /// The command of one line that ends in LF. The reply says what is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Command, Reply> {
        // RFC 5321 §2.3.8: only CRLF ends a line. §2.4: commands are ASCII; controls have no place in them.
        let text = line.strip_suffix(b"\r\n").and_then(|text| str::from_utf8(text).ok()).ok_or(Reply::BAD_BYTES)?;
        if !text.bytes().all(|b| (0x20..=0x7e).contains(&b)) {
            return Err(Reply::BAD_BYTES);
        }
        if let Some(rest) = strip_verb(text, "MAIL FROM:") {
            return parse_mail(rest);
        }
        if let Some(rest) = strip_verb(text, "RCPT TO:") {
            return parse_rcpt(rest);
        }
        let words = text.trim_end().split(' ').count();
        let only =
            |count: usize, command: Command| if words == count { Ok(command) } else { Err(Reply::BAD_ARGUMENTS) };
        match Request::parse(&mut line.iter()) {
            Ok(Request::Ehlo { host }) => only(2, Command::Ehlo(hello_name(host)?)),
            Ok(Request::Helo { host }) => only(2, Command::Helo(hello_name(host)?)),
            Ok(Request::Data) => only(1, Command::Data),
            Ok(Request::Rset) => only(1, Command::Rset),
            Ok(Request::Quit) => only(1, Command::Quit),
            Ok(Request::StartTls) => only(1, Command::StartTls),
            Ok(Request::Noop { .. }) => Ok(Command::Noop),
            Ok(Request::Vrfy { .. }) => Ok(Command::Vrfy),
            Ok(Request::Help { .. }) => Ok(Command::Help),
            Ok(Request::Auth { .. }) => parse_auth(text),
            Ok(Request::Mail { .. } | Request::Rcpt { .. }) | Err(Error::SyntaxError { .. }) => {
                // `AUTH` with a mechanism that nobody registered is a syntax error to the parser, not to us.
                if strip_verb(text, "AUTH ").is_some() { parse_auth(text) } else { Err(Reply::BAD_ARGUMENTS) }
            }
            Ok(_) => Err(Reply::NOT_IMPLEMENTED),
            Err(Error::UnknownCommand) => Err(Reply::UNKNOWN_COMMAND),
            Err(_) => Err(Reply::BAD_ARGUMENTS),
        }
    }
}

fn strip_verb<'a>(text: &'a str, verb: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(verb.len())?;
    head.eq_ignore_ascii_case(verb).then_some(rest)
}

/// RFC 5321 §4.1.1.1. A name that does not resolve, or that is not even a domain, must not stop mail (§4.1.4), but it
/// goes into trace fields and logs.
fn hello_name(host: Cow<'_, str>) -> Result<String, Reply> {
    let harmless = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    if host.parse::<Domain>().is_ok() || (!host.is_empty() && host.bytes().all(harmless)) {
        return Ok(host.into_owned());
    }
    Err(Reply::BAD_ARGUMENTS)
}

/// RFC 4954 §4: `AUTH mechanism [initial-response]`.
fn parse_auth(text: &str) -> Result<Command, Reply> {
    let mut words = text.trim_end().split(' ').skip(1);
    let mechanism = words.next().filter(|name| !name.is_empty() && name.len() <= 20).ok_or(Reply::BAD_ARGUMENTS)?;
    let initial = words.next().map(str::to_owned);
    if words.next().is_some() {
        return Err(Reply::BAD_ARGUMENTS);
    }
    Ok(Command::Auth(mechanism.to_owned(), initial))
}

fn parse_mail(rest: &str) -> Result<Command, Reply> {
    let (path, parameters) = cut_path(rest).ok_or(Reply::BAD_SENDER)?;
    let path = strip_source_route(path).and_then(|path| path.parse().ok()).ok_or(Reply::BAD_SENDER)?;
    Ok(Command::Mail(path, mail_parameters(parameters)?))
}

fn parse_rcpt(rest: &str) -> Result<Command, Reply> {
    let (path, parameters) = cut_path(rest).ok_or(Reply::BAD_RECIPIENT)?;
    // We offer no extension that adds parameters to RCPT. RFC 5321 §4.1.1.11.
    if !parameters.trim().is_empty() {
        return Err(Reply::UNSUPPORTED_PARAMETER);
    }
    if path.eq_ignore_ascii_case("postmaster") {
        return Ok(Command::Rcpt(ForwardPath::Postmaster));
    }
    let mailbox = strip_source_route(path).and_then(|path| path.parse().ok()).ok_or(Reply::BAD_RECIPIENT)?;
    Ok(Command::Rcpt(ForwardPath::Mailbox(mailbox)))
}

/// The text between the angle brackets, quotes respected, and what follows. A blank after the colon is not in the
/// grammar, but many clients send it.
fn cut_path(rest: &str) -> Option<(&str, &str)> {
    let inside = rest.trim_start_matches(' ').strip_prefix('<')?;
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => {
                let after = &inside[at + 1..];
                return (after.is_empty() || after.starts_with(' ')).then_some((&inside[..at], after));
            }
            _ => {}
        }
    }
    None
}

/// RFC 5321 §4.1.2 (`A-d-l`) and Appendix C: a source route is accepted and ignored.
fn strip_source_route(path: &str) -> Option<&str> {
    if !path.starts_with('@') {
        return Some(path);
    }
    let (route, path) = path.split_once(':')?;
    route.split(',').all(|hop| hop.strip_prefix('@').is_some_and(|d| d.parse::<Domain>().is_ok())).then_some(path)
}

/// SIZE, BODY and AUTH (RFC 1870, RFC 6152, RFC 4954 §5); all others are of extensions that we do not offer.
fn mail_parameters(text: &str) -> Result<MailParameters, Reply> {
    let mut seen: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let keyword = word.split('=').next().unwrap_or_default().to_ascii_uppercase();
        if !matches!(keyword.as_str(), "SIZE" | "BODY" | "AUTH") {
            return Err(Reply::UNSUPPORTED_PARAMETER);
        }
        if seen.contains(&keyword) {
            return Err(Reply::BAD_ARGUMENTS);
        }
        seen.push(keyword);
    }
    let line = format!("{text}\r\n");
    let mut bytes = line.as_bytes().iter();
    let parsed =
        Rfc5321Parser::new(&mut bytes).mail_from_parameters(Cow::Borrowed("")).map_err(|error| match error {
            Error::UnsupportedParameter { .. } => Reply::UNSUPPORTED_PARAMETER,
            _ => Reply::BAD_ARGUMENTS,
        })?;
    // BINARYMIME came through the keyword filter above and is not offered.
    if parsed.flags & !(MAIL_BODY_8BITMIME | MAIL_BODY_7BIT) != 0 {
        return Err(Reply::UNSUPPORTED_PARAMETER);
    }
    // AUTH= is accepted and ignored: nobody's word about who submitted a message is taken (RFC 4954 §5).
    let size = seen.iter().any(|keyword| keyword == "SIZE").then_some(parsed.size as u64);
    Ok(MailParameters { size, eight_bit: parsed.flags & MAIL_BODY_8BITMIME != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Command, Reply> {
        Command::parse(format!("{text}\r\n").as_bytes())
    }

    #[test]
    fn paths_keep_what_was_written() {
        for (text, path) in [
            ("MAIL FROM:<>", ""),
            ("mail from:<Ada@ALFA.test>", "Ada@alfa.test"),
            ("MAIL FROM: <a@b.c>", "a@b.c"),
            ("MAIL FROM:<\"a@b > c\"@d.e>", "\"a@b > c\"@d.e"),
            ("MAIL FROM:<@x.y,@z.w:a@b.c>", "a@b.c"),
        ] {
            assert_eq!(parse(text), Ok(Command::Mail(path.parse().unwrap(), MailParameters::default())), "{text}");
        }
        assert_eq!(parse("RCPT TO:<PostMaster>"), Ok(Command::Rcpt(ForwardPath::Postmaster)));
    }

    #[test]
    fn parameters_are_read_or_refused() {
        let mail = |text: &str| match parse(&format!("MAIL FROM:<a@b.c>{text}")) {
            Ok(Command::Mail(_, parameters)) => Ok((parameters.size, parameters.eight_bit)),
            Ok(other) => panic!("{other:?}"),
            Err(reply) => Err(reply.code),
        };
        assert_eq!(mail(" SIZE=10 BODY=8BITMIME AUTH=<>"), Ok((Some(10), true)));
        assert_eq!(mail(" BODY=7BIT"), Ok((None, false)));
        assert_eq!(mail(" SIZE=0"), Ok((Some(0), false)));
        for text in [" SIZE=x", " SIZE=", " SIZE=1 SIZE=2", " BODY=9BIT", " SIZE=-1", " SIZE"] {
            assert!(matches!(mail(text), Err(501 | 555)), "{text}");
        }
        for text in [" SMTPUTF8", " BODY=BINARYMIME", " RET=HDRS", " ENVID=a+00b", " X=1", " REQUIRETLS"] {
            assert_eq!(mail(text), Err(555), "{text}");
        }
        assert_eq!(mail("SIZE=1"), Err(501));
        assert_eq!(parse("RCPT TO:<a@b.c> NOTIFY=NEVER"), Err(Reply::UNSUPPORTED_PARAMETER));
    }

    #[test]
    fn addresses_that_hide_something_are_refused() {
        for text in [
            "RCPT TO:a@b.c",
            "RCPT TO:<a@b.c",
            "RCPT TO:<a b@c.d>",
            "RCPT TO:<\"\"@b.c>",
            "RCPT TO:<>",
            "RCPT TO:<@x:a@b.c@d>",
            "RCPT TO:<a@b.c>x",
            "RCPT TO:<\"a@b.c>",
            "MAIL FROM:<postmaster>",
        ] {
            assert_eq!(parse(text).map_err(|r| r.code), Err(501), "{text}");
        }
        let long = format!("RCPT TO:<{}@b.c>", "a".repeat(65));
        assert_eq!(parse(&long), Err(Reply::BAD_RECIPIENT));
    }

    #[test]
    fn lines_are_ascii_and_end_in_crlf() {
        for line in [
            &b"NOOP\n"[..],
            b"NO\0OP\r\n",
            b"NOOP \xff\r\n",
            b"NOOP\r\r\n",
            b"RSET\t\r\n",
            b"\xc3\xa0\r\n",
            b"a\rb\r\n",
        ] {
            assert_eq!(Command::parse(line), Err(Reply::BAD_BYTES), "{line:?}");
        }
    }

    #[test]
    fn verbs_have_their_arguments_and_no_more() {
        assert_eq!(parse("ehlo [IPv6:::1]"), Ok(Command::Ehlo("[IPv6:::1]".into())));
        assert_eq!(parse("HELO my_pc"), Ok(Command::Helo("my_pc".into())));
        assert_eq!(parse("AUTH plain AGE="), Ok(Command::Auth("plain".into(), Some("AGE=".into()))));
        assert_eq!(parse("AUTH X-UNHEARD-OF"), Ok(Command::Auth("X-UNHEARD-OF".into(), None)));
        assert_eq!(parse("QUIT "), Ok(Command::Quit));
        for text in
            ["EHLO", "EHLO a b", "EHLO <x>", "DATA now", "STARTTLS x", "AUTH", "AUTH PLAIN a b", "MAIL", "RCPT x"]
        {
            assert_eq!(parse(text).map_err(|r| r.code), Err(501), "{text}");
        }
        for text in ["BDAT 10 LAST", "EXPN staff", "ETRN x", "LHLO x"] {
            assert_eq!(parse(text), Err(Reply::NOT_IMPLEMENTED), "{text}");
        }
        for text in ["", "FOO", "DATAX", "X MAIL FROM:<a@b.c>"] {
            assert_eq!(parse(text), Err(Reply::UNKNOWN_COMMAND), "{text}");
        }
        assert!(is_http(b"GET / HTTP/1.1\r\n") && !is_http(b"GETX\r\n") && !is_http(b"GET"));
    }
}
