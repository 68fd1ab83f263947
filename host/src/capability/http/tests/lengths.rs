//! A body that isn't as long as its content-length says.

use super::*;

/// A request of this content-length whose body is these parts, all of them at once.
fn of_length(url: &str, length: u64, parts: &[&'static str]) -> Request<WasiBody> {
    let parts: Vec<_> =
        parts.iter().map(|part| Ok::<_, Error>(Frame::data(Bytes::from_static(part.as_bytes())))).collect();
    let body = StreamBody::new(futures::stream::iter(parts)).boxed_unsync();
    Request::post(url).header(CONTENT_LENGTH, length).body(body).unwrap()
}

/// Nothing is sent, so nothing is unknown: it is the guest's own error.
#[tokio::test]
async fn w10_a_body_of_another_length_is_the_guests_error() {
    let target = Target::start(OK).await;
    for (length, parts, given) in [(5, &["abc"][..], 3), (5, &[], 0), (2, &["abc"], 3), (4, &["abc", "de"], 5)] {
        let mut caller = caller(&[&target.url("")]);
        let sent = caller.send(of_length(&target.url("/"), length, parts)).await;
        assert!(
            matches!(&sent, Err(Error::HttpRequestBodySize(Some(bytes))) if *bytes == given),
            "{length} {parts:?}: {sent:?}"
        );
        let why = format!("was broken off: {given} bytes of its body aren't what its content-length says");
        assert!(caller.said()[0].ends_with(&why), "{:?}", caller.said());
    }
    let seen: Vec<_> = target.seen().into_iter().filter(|seen| !seen.is_empty() && seen != "<closed>").collect();
    assert!(seen.is_empty(), "{seen:?}");

    // What comes after all that was promised is not sent. The guest's write of it fails.
    let mut caller = caller(&[&target.url("")]);
    for (length, parts) in [(5, &["abc", "de"][..]), (0, &[]), (0, &["a"]), (3, &["abc", "de"])] {
        assert!(caller.send(of_length(&target.url("/"), length, parts)).await.is_ok(), "{length} {parts:?}");
        let seen = target.seen().pop().unwrap();
        let (_, body) = seen.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, &parts.concat()[..length as usize], "{seen}");
    }
}

/// The target may have done something with what it had by then. It never sees a whole request.
#[tokio::test]
async fn w10_a_body_that_breaks_off_after_a_part_was_sent_is_unknown() {
    for (rest, given) in [(None, 4), (Some(&b"more than five"[..]), 18)] {
        let mute = Target::start("").await;
        let mut caller = caller(&[&mute.url("")]);
        let (parts, body) = tokio::sync::mpsc::unbounded_channel::<&'static [u8]>();
        let frames = futures::stream::unfold(body, |mut body| async {
            let part = body.recv().await?;
            Some((Ok::<_, Error>(Frame::data(Bytes::from_static(part))), body))
        });
        let request = Request::post(mute.url("/")).header(CONTENT_LENGTH, 9);
        let waiting = tokio::spawn(caller.sending(request.body(StreamBody::new(frames).boxed_unsync()).unwrap()));
        parts.send(b"part").unwrap();
        while !mute.seen().first().is_some_and(|seen| seen.ends_with("part")) {
            tokio::task::yield_now().await;
        }
        if let Some(rest) = rest {
            parts.send(rest).unwrap();
        }
        drop(parts);
        let told = format!("{:?}", waiting.await.unwrap().map(|_| ()).unwrap_err());
        let why = format!("its body broke off: {given} bytes aren't what its content-length says");
        assert_eq!(told, format!("InternalError(Some(\"unknown: no answer says whether it was done ({why})\"))"));
        while !mute.seen()[0].ends_with("<closed>") {
            tokio::task::yield_now().await;
        }
        assert!(mute.seen()[0].ends_with("\r\n\r\npart<closed>"), "{:?}", mute.seen());
    }
}

/// Whatever went wrong, if nothing was sent.
#[tokio::test]
async fn w10_a_request_of_which_nothing_was_sent_is_not_unknown() {
    let mute = Target::start("").await;
    let mut caller = caller(&[&mute.url("")]);
    let gives_up = futures::stream::iter([Err::<Frame<Bytes>, _>(Error::HttpProtocolError)]);
    let request = Request::post(mute.url("/")).body(StreamBody::new(gives_up).boxed_unsync()).unwrap();
    assert!(matches!(caller.send(request).await, Err(Error::ConnectionTerminated)));
}
