//! How long each part of a request may take.

use tokio::net::TcpStream;

use super::*;

/// A target that says this to everyone, and then stays.
async fn staying(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut streams: Vec<TcpStream> = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(answer.as_bytes()).await.unwrap();
            streams.push(stream);
        }
    });
    url
}

/// A request whose guest asks for less time than there is, or for more.
async fn asking(caller: &mut Caller, url: &str, options: RequestOptions) -> Sending {
    let sending = caller.http.open().1.send_request(request(url), Some(options), Box::new(async { Ok(()) }));
    Box::into_pin(sending).await
}

/// The rest of a response, as its guest reads it.
async fn rest(sending: Sending) -> Error {
    let (response, ending) = sending.unwrap();
    tokio::spawn(Box::into_pin(ending));
    response.into_body().collect().await.unwrap_err()
}

const MOMENT: Option<Duration> = Some(Duration::from_millis(50));

#[tokio::test]
async fn a_target_that_takes_a_connection_and_speaks_no_tls_is_not_waited_for() {
    let url = staying("").await.replace("http:", "https:");
    let mut caller = caller(&[&url]);
    let options = RequestOptions { connect_timeout: MOMENT, ..RequestOptions::default() };
    assert!(matches!(asking(&mut caller, &url, options).await, Err(Error::ConnectionTimeout)));
}

/// However much its guest asks for.
#[tokio::test(start_paused = true)]
async fn a_connection_is_waited_for_only_so_long() {
    let url = staying("").await.replace("http:", "https:");
    let mut caller = caller(&[&url]);
    let options = RequestOptions { connect_timeout: Some(100 * MAX_CONNECT_TIME), ..RequestOptions::default() };
    let begin = tokio::time::Instant::now();
    assert!(matches!(asking(&mut caller, &url, options).await, Err(Error::ConnectionTimeout)));
    assert_eq!(begin.elapsed().as_secs(), MAX_CONNECT_TIME.as_secs());
}

#[tokio::test]
async fn a_request_whose_target_is_silent_may_have_been_done() {
    let url = staying("").await;
    let mut caller = caller(&[&url]);
    let options = RequestOptions { first_byte_timeout: MOMENT, ..RequestOptions::default() };
    let told = asking(&mut caller, &url, options).await.map(|_| ()).unwrap_err().to_string();
    assert!(told.ends_with("unknown: no answer says whether it was done (connection read timeout)"), "{told}");
}

#[tokio::test]
async fn a_response_may_not_be_silent_for_long() {
    let url = staying("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi").await;
    let mut caller = caller(&[&url]);
    let options = RequestOptions { between_bytes_timeout: MOMENT, ..RequestOptions::default() };
    assert!(matches!(rest(asking(&mut caller, &url, options).await).await, Error::ConnectionReadTimeout));
}

/// However much its guest asks for.
#[tokio::test]
async fn a_request_has_so_much_time_in_all() {
    let url = staying("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi").await;
    let patient = Some(100 * MAX_REQUEST_TIME);
    let mut caller = caller(&[&url]);
    let options =
        RequestOptions { connect_timeout: patient, first_byte_timeout: patient, between_bytes_timeout: patient };
    let begun = asking(&mut caller, &url, options).await;
    tokio::time::pause();
    tokio::time::advance(MAX_REQUEST_TIME).await;
    assert!(matches!(rest(begun).await, Error::HttpResponseTimeout));
}
