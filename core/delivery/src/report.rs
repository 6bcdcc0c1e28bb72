//! The report that mail could not be delivered ([RFC 3464], in the form of [RFC 3462]).

use mail_builder::MessageBuilder;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::MimePart;
use sigillo_mail::{Failure, Mailbox};

/// Octets of the failed message's header section that a report repeats at most.
pub const HEADER_REPEATED_MAX: u64 = 16 * 1024;

/// One recipient that was given up.
#[derive(Debug, Clone)]
pub struct Failed {
    /// Whom the mail was for.
    pub recipient: Mailbox,
    /// Why it did not get there.
    pub failure: Failure,
    /// The host that said so; none if we did.
    pub host: Option<String>,
}

/// What a report says.
pub struct Report<'a> {
    /// Our name.
    pub hostname: &'a str,
    /// Id of the report.
    pub message_id: &'a str,
    /// Whom it is for: the reverse path of the failed mail, never the null path (RFC 5321 §6.1).
    pub to: &'a Mailbox,
    /// Queue entry of the failed mail.
    pub entry: &'a str,
    /// Header section of the failed mail, cut at [`HEADER_REPEATED_MAX`].
    pub header: &'a [u8],
    /// When, in seconds since 1970.
    pub at: i64,
}

/// The message to send with a null reverse path.
pub fn failure_report(report: &Report<'_>, failed: &[Failed]) -> std::io::Result<Vec<u8>> {
    let mut text = String::from(
        "This is the mail system. Your message could not be delivered to the recipients below.\r\n\
         Il messaggio non ha potuto essere consegnato ai destinatari indicati di seguito.\r\n\r\n",
    );
    let mut status = format!("Reporting-MTA: dns; {}\r\nX-Queue-Id: {}\r\n", report.hostname, report.entry);
    for Failed { recipient, failure, host } in failed {
        text.push_str(&format!("<{recipient}>: {} {}\r\n", failure.code, failure.words));
        // RFC 3464 §2.3: one block of fields a recipient, blocks separated by an empty line.
        status.push_str(&format!(
            "\r\nFinal-Recipient: rfc822; {recipient}\r\nAction: failed\r\nStatus: {}\r\n",
            failure.code
        ));
        if let Some(host) = host {
            status.push_str(&format!("Remote-MTA: dns; {host}\r\nDiagnostic-Code: smtp; {}\r\n", failure.words));
        }
    }
    let parts = vec![
        MimePart::new("text/plain", text),
        raw_part("message/delivery-status", status.into_bytes()),
        raw_part("text/rfc822-headers", report.header.to_vec()),
    ];
    let body = MimePart::new(ContentType::new("multipart/report").attribute("report-type", "delivery-status"), parts);
    MessageBuilder::new()
        .header("From", Raw::new(format!("Mail Delivery System <MAILER-DAEMON@{}>", report.hostname)))
        .header("To", Raw::new(report.to.to_string()))
        .subject("Undelivered Mail Returned to Sender")
        .message_id(report.message_id)
        .date(report.at)
        // RFC 3834 §5: so that no robot answers a robot.
        .header("Auto-Submitted", Raw::new("auto-replied"))
        .body(body)
        .write_to_vec()
}

/// A part whose bytes are already what goes on the wire; 8-bit bytes of a foreign header are encoded away.
fn raw_part(media_type: &str, bytes: Vec<u8>) -> MimePart<'static> {
    let part = MimePart::new(media_type.to_owned(), bytes.clone());
    if bytes.is_ascii() { part.transfer_encoding("7bit") } else { part }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigillo_mail::EnhancedCode;

    #[test]
    fn a_report_names_each_recipient_and_parses_as_a_report() {
        let failed = [
            Failed {
                recipient: "bruno@beta.example".parse().unwrap(),
                failure: Failure::permanent(EnhancedCode::BAD_DESTINATION_MAILBOX, "No such mailbox"),
                host: Some("mx.beta.example".into()),
            },
            Failed {
                recipient: "carla@gamma.example".parse().unwrap(),
                failure: Failure::permanent(EnhancedCode::EXPIRED, "Given up"),
                host: None,
            },
        ];
        let to = "ada@alfa.example".parse().unwrap();
        let report = Report {
            hostname: "mail.alfa.example",
            message_id: "r1@mail.alfa.example",
            to: &to,
            entry: "q1",
            header: b"Subject: ciao\r\nFrom: ada@alfa.example\r\n",
            at: 0,
        };
        let bytes = failure_report(&report, &failed).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        for want in [
            "report-type=\"delivery-status\"",
            "Final-Recipient: rfc822; bruno@beta.example\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.beta.example",
            "Final-Recipient: rfc822; carla@gamma.example\r\nAction: failed\r\nStatus: 5.4.7\r\n",
            "Subject: ciao\r\n",
            "Auto-Submitted: auto-replied",
        ] {
            assert!(text.contains(want), "{want}\n---\n{text}");
        }
    }
}
