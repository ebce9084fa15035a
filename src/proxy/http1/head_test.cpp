// SPDX-License-Identifier: Apache-2.0
#include "proxy/http1/head.h"

#include <gmock/gmock.h>

#include "proxy/http1/known_fields.h"

namespace berth::proxy {
namespace {

const HeadLimits kLimits;

std::string field(std::string_view line) {
  return "GET / HTTP/1.1\r\nHost: a.test\r\n" + std::string(line) + "\r\n\r\n";
}
std::string post(std::string_view lines) {
  return "POST / HTTP/1.1\r\nHost: a.test\r\n" + std::string(lines) + "\r\n";
}

// The status that the head is refused with; 0 when it is taken.
int refusal(std::string_view bytes, const HeadLimits& limits = kLimits) {
  HeadSearch search;
  const Parsed<std::size_t> length = search.find(bytes, limits);
  if (!length) return length.error().status;
  EXPECT_EQ(*length, bytes.size()) << bytes;
  RequestHead head;
  const Parsed<void> parsed = parse_request_head(bytes, limits, head);
  return parsed ? 0 : parsed.error().status;
}

RequestHead taken(const std::string& bytes) {
  RequestHead head;
  const Parsed<void> parsed = parse_request_head(bytes, kLimits, head);
  EXPECT_TRUE(parsed) << bytes << (parsed ? "" : parsed.error().rule);
  return head;
}

TEST(RequestHead, IsReadInItsParts) {
  const std::string bytes =
      "POST /p/a?q=1 HTTP/1.1\r\nHost: A.test:8080\r\nContent-Length: 12\r\nX-Empty:\r\nX-Blanks: \t a b "
      "\t\r\n"
      "Connection: close\r\nTE: gzip, Trailers\r\n\r\n";
  const RequestHead head = taken(bytes);
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.target, "/p/a?q=1");
  EXPECT_EQ(head.host, "A.test");
  EXPECT_EQ(head.minor_version, 1);
  EXPECT_EQ(head.framing.kind, Framing::Kind::length);
  EXPECT_EQ(head.framing.length, 12u);
  EXPECT_FALSE(head.keep_alive);
  EXPECT_FALSE(head.idempotent);
  EXPECT_TRUE(head.takes_trailers);
  ASSERT_EQ(head.fields.size(), 6u);
  EXPECT_EQ(head.fields[2].value, "");
  EXPECT_EQ(head.fields[3].value, "a b");
}

TEST(RequestHead, RequestLinesThatAreNone) {
  const auto line = [](std::string_view text) { return std::string(text) + "\r\nHost: a.test\r\n\r\n"; };
  for (const std::string_view text : {"GET",
                                      "GET /",
                                      "GET  / HTTP/1.1",
                                      "GET /  HTTP/1.1",
                                      " GET / HTTP/1.1",
                                      "GET / HTTP/1.1 ",
                                      "GE T / HTTP/1.1",
                                      "G(T / HTTP/1.1",
                                      "G\xc3\xa9T / HTTP/1.1",
                                      "GET\t/ HTTP/1.1",
                                      "GET / http/1.1",
                                      "GET / HTTP/1",
                                      "GET / HTTP/1.",
                                      "GET / HTTP/1.1x",
                                      "GET / HTTP/11",
                                      "GET / HTTP/1,1",
                                      "GET / HTTP/a.1",
                                      "GET /a#b HTTP/1.1",
                                      "GET /\x7f HTTP/1.1",
                                      "GET /\x01 HTTP/1.1",
                                      "GET /\xff HTTP/1.1",
                                      "GET a HTTP/1.1",
                                      "GET ?a HTTP/1.1",
                                      "GET * HTTP/1.1",
                                      "GET ftp://a.test/ HTTP/1.1",
                                      "GET http:/a.test/ HTTP/1.1",
                                      "GET http://b.test/ HTTP/1.1",
                                      "GET http://a.test:81/ HTTP/1.1",
                                      "GET http://u@a.test/ HTTP/1.1",
                                      "GET http://a.test?q HTTP/1.1",
                                      "GET http:///x HTTP/1.1",
                                      "GET /\r HTTP/1.1"})
    EXPECT_EQ(refusal(line(text)), 400) << text;
  EXPECT_EQ(refusal(line("GET / HTTP/2.0")), 505);
  EXPECT_EQ(refusal(line("GET / HTTP/0.9")), 505);
  EXPECT_EQ(refusal(line("CONNECT a.test:80 HTTP/1.1")), 405);
}

TEST(RequestHead, RequestLinesThatAreGood) {
  EXPECT_EQ(taken("GET / HTTP/1.2\r\nHost: a.test\r\n\r\n").minor_version, 1);
  EXPECT_EQ(taken("OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n").target, "*");
  EXPECT_EQ(taken("M-SEARCH!#$%&'*+.^_`|~ /%41\"<>\\^`{|} HTTP/1.1\r\nHost: a.test\r\n\r\n").target,
            "/%41\"<>\\^`{|}");
  EXPECT_EQ(taken("GET http://a.test/x?y HTTP/1.1\r\nHost: a.test\r\n\r\n").target, "/x?y");
  EXPECT_EQ(taken("GET HTTP://A.TEST HTTP/1.1\r\nHost: a.test\r\n\r\n").target, "/");
  EXPECT_EQ(taken("GET //x HTTP/1.1\r\nHost: a.test\r\n\r\n").target, "//x");
}

TEST(RequestHead, HostIsThereOnceAndIsOne) {
  const auto with = [](std::string_view lines) { return "GET / HTTP/1.1\r\n" + std::string(lines) + "\r\n"; };
  for (const std::string_view lines : {"",
                                       "Host: a\r\nHost: a\r\n",
                                       "Host: a\r\nhost: b\r\n",
                                       "Host:\r\n",
                                       "Host: a b\r\n",
                                       "Host: a,b\r\n",
                                       "Host: a/b\r\n",
                                       "Host: u@a\r\n",
                                       "Host: a:\x31:2\r\n",
                                       "Host: a:x\r\n",
                                       "Host: a:123456\r\n",
                                       "Host: a:65536\r\n",
                                       "Host: :80\r\n",
                                       "Host: [::1\r\n",
                                       "Host: []\r\n",
                                       "Host: [::1]x\r\n",
                                       "Host: [::1]:x\r\n",
                                       "Host: a%20b\r\n",
                                       "Host: a\\b\r\n",
                                       "Host: *\r\n",
                                       "Host: a?b\r\n",
                                       "Host: a#b\r\n"})
    EXPECT_EQ(refusal(with(lines)), 400) << lines;
  EXPECT_EQ(refusal(with("Host: " + std::string(256, 'a') + "\r\n")), 400);
  EXPECT_EQ(refusal("GET / HTTP/1.0\r\n\r\n"), 400);
  EXPECT_EQ(taken(with("Host: a-b_c.test.\r\n")).host, "a-b_c.test.");
  EXPECT_EQ(taken(with("Host: [::1]:80\r\n")).host, "[::1]");
  EXPECT_EQ(taken(with("Host: a:\r\n")).host, "a");
}

TEST(RequestHead, FieldsThatAreNone) {
  for (const std::string_view line :
       {"X-A", ": x", "X A: b", "X-A : b", "X-A\t: b", " X-A: b", "X\x01: b", "X(): b", "X-A: a\x01",
        "X-A: a\x7f", "X-A: a\rb", "\xc3\xa9: b", "X-A: b\r\n folded", "X-A: b\r\n\tfolded"})
    EXPECT_EQ(refusal(field(line)), 400) << line;
  EXPECT_EQ(refusal(field(std::string_view("X-A: a\0b", 8))), 400);
  EXPECT_EQ(refusal(field(std::string_view("X\0A: b", 6))), 400);
  EXPECT_EQ(refusal(field("X-A: \xff\x80 \"'\\0,;")), 0);
}

TEST(RequestHead, LinesEndInBothCharacters) {
  for (const std::string_view bytes :
       {"GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n", "\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"})
    EXPECT_EQ(refusal(bytes), 400) << bytes;
}

TEST(RequestHead, FramingThatIsAmbiguousIsRefused) {
  for (const std::string_view lines :
       {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\ncontent-length: 6\r\n", "Content-Length: 5, 5\r\n", "Content-Length: +5\r\n",
        "Content-Length: -5\r\n", "Content-Length: 0x5\r\n", "Content-Length: 5 5\r\n",
        "Content-Length: 5.0\r\n", "Content-Length:\r\n", "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 18446744073709551621\r\n", "Content-Length: 5;\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding : chunked\r\n"})
    EXPECT_EQ(refusal(post(lines)), 400) << lines;
  for (const std::string_view lines :
       {"Transfer-Encoding: chunked, gzip\r\n", "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding: chunked;a=b\r\n",
        "Transfer-Encoding: \"chunked\"\r\n", "Transfer-Encoding:\r\n",
        "Transfer-Encoding: chunked chunked\r\n"})
    EXPECT_EQ(refusal(post(lines)), 400) << lines;
  for (const std::string_view lines :
       {"Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: chunked, chunked\r\n"})
    EXPECT_EQ(refusal(post(lines)), 501) << lines;
  EXPECT_EQ(refusal(post("Transfer-Encoding: \vchunked\r\n")), 400);
  EXPECT_EQ(refusal("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

TEST(RequestHead, FramingThatIsPlain) {
  EXPECT_EQ(taken(post("Content-Length: 9223372036854775807\r\n")).framing.length,
            static_cast<std::uint64_t>(INT64_MAX));
  EXPECT_EQ(taken(post("Content-Length: 0005\r\n")).framing.length, 5u);
  EXPECT_EQ(taken(post("Content-Length: 0\r\n")).framing.kind, Framing::Kind::none);
  EXPECT_EQ(taken(post("TRANSFER-ENCODING:\t ChunkeD \r\n")).framing.kind, Framing::Kind::chunked);
  EXPECT_EQ(taken(post("")).framing.kind, Framing::Kind::none);
}

TEST(RequestHead, ConnectionTakesAwayWhatIsForThisHopAndNothingElse) {
  const std::string bytes = post(
      "Connection: X-Hop, host, content-length ,X-Forwarded-For,authorization,cookie\r\nX-Hop: 1\r\nx-hop: "
      "2\r\nX-Stay: 3\r\n"
      "Content-Length: 1\r\nAuthorization: x\r\nX-Forwarded-For: y\r\nCookie: z\r\n");
  std::vector<std::string_view> gone;
  const RequestHead head = taken(bytes);
  for (const Field& one : head.fields)
    if (one.ends_here) gone.push_back(one.value);
  EXPECT_THAT(gone, testing::ElementsAre("1", "2"));
}

TEST(RequestHead, KeepsTheConnectionAsItsVersionDoes) {
  EXPECT_TRUE(taken(field("X: y")).keep_alive);
  EXPECT_FALSE(taken(field("Connection: x, CLOSE")).keep_alive);
  EXPECT_FALSE(taken("GET / HTTP/1.0\r\nHost: a\r\n\r\n").keep_alive);
  EXPECT_TRUE(taken("GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
  EXPECT_FALSE(taken("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n").keep_alive);
}

TEST(RequestHead, ExpectationsAreOneOrNone) {
  EXPECT_TRUE(taken(post("Expect: 100-Continue\r\nContent-Length: 5\r\n")).expects_continue);
  EXPECT_FALSE(taken(post("Expect: 100-continue\r\n")).expects_continue);
  EXPECT_EQ(refusal(post("Expect: 200-ok\r\n")), 417);
}

TEST(RequestHead, AsksForWebSocketOnlyAsItsRfcWants) {
  const std::string good = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k";
  EXPECT_TRUE(taken(field(good)).websocket);
  EXPECT_FALSE(taken(field("Connection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Key: k")).websocket);
  EXPECT_FALSE(taken(field("Upgrade: websocket\r\nSec-WebSocket-Key: k")).websocket);
  EXPECT_FALSE(taken(field("Connection: Upgrade\r\nUpgrade: websocket")).websocket);
  EXPECT_FALSE(taken(field(good + "\r\nContent-Length: 1")).websocket);
  EXPECT_FALSE(taken(post(good + "\r\n")).websocket);
}

TEST(RequestHead, IsBounded) {
  EXPECT_EQ(refusal(field("X: " + std::string(40'000, 'a'))), 431);
  EXPECT_EQ(refusal("GET /" + std::string(9'000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
  std::string many;
  for (int count = 0; count < 99; ++count) many += "X: y\r\n";
  EXPECT_EQ(refusal(post(many)), 0);
  EXPECT_EQ(refusal(post(many + "X: y\r\n")), 431);
}

TEST(HeadSearch, FindsTheSameHoweverTheBytesCome) {
  const std::string head = field("X: y");
  HeadSearch search;
  for (std::size_t count = 0; count < head.size(); ++count)
    EXPECT_EQ(search.find(head.substr(0, count), kLimits).value(), 0u);
  EXPECT_EQ(search.find(head + "more", kLimits).value(), head.size());
  HeadSearch endless;
  EXPECT_EQ(endless.find(std::string(kLimits.bytes, 'a'), kLimits).error().status, 431);
}

ResponseHead answer_to(std::string_view method, const std::string& bytes, int& refused) {
  RequestHead request;
  request.method = method;
  request.is_head = method == "HEAD";
  ResponseHead head;
  const Parsed<void> parsed = parse_response_head(bytes, kLimits, request, head);
  refused = parsed ? 0 : parsed.error().status;
  return head;
}

TEST(ResponseHead, IsFramedByStatusAndMethodFirst) {
  int refused = 0;
  const auto kind = [&](std::string_view method, const std::string& bytes) {
    return answer_to(method, bytes, refused).framing.kind;
  };
  EXPECT_EQ(kind("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), Framing::Kind::length);
  EXPECT_EQ(kind("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), Framing::Kind::chunked);
  EXPECT_EQ(kind("GET", "HTTP/1.1 200 \r\n\r\n"), Framing::Kind::until_close);
  EXPECT_EQ(kind("GET", "HTTP/1.1 200\r\n\r\n"), Framing::Kind::until_close);
  EXPECT_EQ(kind("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), Framing::Kind::none);
  EXPECT_EQ(kind("GET", "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n"), Framing::Kind::none);
  EXPECT_EQ(kind("GET", "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n"), Framing::Kind::none);
  EXPECT_EQ(kind("GET", "HTTP/1.1 103 Early Hints\r\n\r\n"), Framing::Kind::none);
  EXPECT_EQ(refused, 0);
}

TEST(ResponseHead, ThatIsAmbiguousIsRefusedAsTheBackendsFault) {
  for (const std::string bytes :
       {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099 x\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n", "200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", "HTTP/1.1 200 O\x01K\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    int refused = 0;
    answer_to("GET", bytes, refused);
    EXPECT_EQ(refused, 502) << bytes;
  }
}

TEST(ResponseHead, KeepsAConnectionOnlyWhenItsEndIsKnown) {
  int refused = 0;
  EXPECT_TRUE(answer_to("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", refused).keep_alive);
  EXPECT_FALSE(answer_to("GET", "HTTP/1.1 200 OK\r\n\r\n", refused).keep_alive);
  EXPECT_FALSE(answer_to("GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", refused).keep_alive);
  EXPECT_FALSE(answer_to("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", refused)
                   .keep_alive);
}

TEST(Trailers, AreFieldsThatFrameAndRouteNothing) {
  Fields fields;
  EXPECT_TRUE(parse_trailers("X-Sum: 1\r\n\r\n", kLimits, fields));
  EXPECT_EQ(fields.size(), 1u);
  for (const std::string_view line :
       {"Content-Length: 5", "Transfer-Encoding: chunked", "Host: b", "Authorization: x", "Connection: x",
        "Cookie: x", "X-Forwarded-For: y", "TE: x", "Upgrade: x", "Trailer: x"})
    EXPECT_FALSE(parse_trailers(std::string(line) + "\r\n\r\n", kLimits, fields)) << line;
}

TEST(KnownFields, AreKnownInAnyCase) {
  EXPECT_EQ(known_field("hOsT"), KnownField::host);
  EXPECT_EQ(known_field("X-REAL-IP"), KnownField::x_real_ip);
  EXPECT_EQ(known_field("transfer-encoding"), KnownField::transfer_encoding);
  EXPECT_EQ(known_field("transfer_encoding"), KnownField::other);
  EXPECT_EQ(known_field("x"), KnownField::other);
}

TEST(NormalHost, IsLowerAndHasNoDotAtItsEnd) {
  char buffer[16];
  EXPECT_EQ(normal_host("A.Test", buffer, sizeof buffer), "a.test");
  EXPECT_EQ(normal_host("a.test.", buffer, sizeof buffer), "a.test");
  EXPECT_EQ(normal_host("a-very-long-host.test", buffer, sizeof buffer), "");
}

}  // namespace
}  // namespace berth::proxy
