//! Writing certification data: child order and lay-out as in the messages that providers exchange.

use super::CertificationData;
use crate::wire::xml::*;

/// The document, four blanks a level, one line end at the end.
pub(super) fn write(data: &CertificationData) -> String {
    let mut lines = vec![
        r#"<?xml version="1.0" encoding="UTF-8"?>"#.to_owned(),
        format!(r#"<{POSTACERT} {TIPO}="{}" {ERRORE}="{}">"#, data.kind.word(), data.error.word()),
    ];
    write_header(data, &mut lines);
    write_data(data, &mut lines);
    lines.push(format!("</{POSTACERT}>"));
    lines.join("\n") + "\n"
}

fn write_header(data: &CertificationData, lines: &mut Vec<String>) {
    lines.push(format!("    <{INTESTAZIONE}>"));
    lines.push(element(MITTENTE, &data.sender));
    for recipient in &data.recipients {
        let text = escaped(&recipient.address);
        lines.push(format!(r#"        <{DESTINATARI} {TIPO}="{}">{text}</{DESTINATARI}>"#, recipient.kind.word()));
    }
    lines.push(element(RISPOSTE, &data.reply_to));
    lines.extend(data.subject.iter().map(|subject| element(OGGETTO, subject)));
    lines.push(format!("    </{INTESTAZIONE}>"));
}

fn write_data(data: &CertificationData, lines: &mut Vec<String>) {
    lines.push(format!("    <{DATI}>"));
    lines.push(element(GESTORE_EMITTENTE, &data.provider));
    lines.push(format!(r#"        <{DATA} {ZONA}="{}">"#, escaped(&data.instant.zone)));
    lines.push(format!("    {}", element(GIORNO, &data.instant.day)));
    lines.push(format!("    {}", element(ORA, &data.instant.hour)));
    lines.push(format!("        </{DATA}>"));
    lines.push(element(IDENTIFICATIVO, &data.identifier));
    lines.extend(data.message_id.iter().map(|id| element(MSGID, id)));
    lines.extend(data.receipt_kind.map(|kind| format!(r#"        <{RICEVUTA} {TIPO}="{}" />"#, kind.word())));
    lines.extend(data.delivery.iter().map(|recipient| element(CONSEGNA, recipient)));
    lines.extend(data.taken_in_charge.iter().map(|recipient| element(RICEZIONE, recipient)));
    lines.extend(data.extended_error.iter().map(|text| element(ERRORE_ESTESO, text)));
    lines.push(format!("    </{DATI}>"));
}

fn element(name: &str, text: &str) -> String {
    format!("        <{name}>{}</{name}>", escaped(text))
}

/// Text for an element or attribute. Characters that XML 1.0 §2.2 does not allow become blanks: an original's subject
/// must not make the document unreadable.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
