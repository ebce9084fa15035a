// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/answer_text.h"

#include <gmock/gmock.h>

#include "proxy/http1/body_reader.h"
#include "proxy/routes/endpoint.h"
#include "proxy/worker/http2_fields.h"

namespace berth::proxy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Pairs = std::vector<std::pair<std::string, std::string>>;

const HeadLimits kLimits;

bool add(AnswerText& text, const Pairs& fields, bool ends) {
  for (const auto& [name, value] : fields)
    if (!text.add_field(name, value, kLimits)) return false;
  return text.end_fields(ends);
}

std::string taken(AnswerText& text) {
  std::string out;
  text.take(out);
  return out;
}

// What the one parser says of it: the body, and the trailers' names; or that it is refused.
struct Read {
  int status = 0;
  std::string body, trailers;
  bool ended = false, refused = false;
};
Read read(const std::string& text, std::string_view method = "GET") {
  const std::string asked = std::string(method) + " / HTTP/1.1\r\nHost: a\r\n\r\n";
  RequestHead request;
  EXPECT_TRUE(parse_request_head(asked, kLimits, request));
  HeadSearch search;
  const Parsed<std::size_t> length = search.find(text, kLimits);
  ResponseHead head;
  if (!length || *length == 0 ||
      !parse_response_head(std::string_view(text).substr(0, *length), kLimits, request, head))
    return {.refused = true};
  Read read{.status = head.status};
  BodyReader body;
  body.begin(head.framing, head.fields);
  std::string_view rest = std::string_view(text).substr(*length);
  for (;;) {
    const Parsed<BodyReader::Piece> piece = body.next(rest, kLimits);
    if (!piece) return {.status = head.status, .refused = true};
    rest.remove_prefix(piece->used_before);
    if ((read.ended = piece->ended) || piece->data.empty()) break;
    read.body += piece->data;
    body.took(piece->data.size());
    rest.remove_prefix(piece->data.size());
  }
  for (const Field& field : body.trailers()) read.trailers += std::string(field.name) + " ";
  EXPECT_EQ(rest, "");
  return read;
}

TEST(AnswerText, FramesByTheLengthThatTheAnswerSays) {
  AnswerText text;
  ASSERT_TRUE(add(text, {{":status", "200"}, {"content-length", "5"}}, false));
  text.add_data("hel");
  text.add_data("lo");
  text.end_body();
  const std::string all = taken(text);
  EXPECT_EQ(all, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
  EXPECT_EQ(read(all).body, "hello");
}

TEST(AnswerText, FramesInChunksOtherwise) {
  AnswerText text;
  ASSERT_TRUE(add(text, {{":status", "200"}}, false));
  std::string all = taken(text);
  for (const std::string_view part : {"a", "bc", ""}) text.add_data(part);
  EXPECT_EQ(text.body_bytes(), 3u);
  all += taken(text);
  EXPECT_FALSE(text.has_text());
  EXPECT_EQ(text.body_bytes(), 0u);
  text.add_data(std::string(70'000, 'x'));
  ASSERT_TRUE(add(text, {{"grpc-status", "0"}, {"grpc-message", ""}}, true));
  EXPECT_TRUE(text.ended());
  all += taken(text);
  EXPECT_THAT(all, HasSubstr("\r\n\r\n00000003\r\nabc\r\n00011170\r\nxxx"));
  const Read answer = read(all);
  EXPECT_EQ(answer.body, "abc" + std::string(70'000, 'x'));
  EXPECT_EQ(answer.trailers, "grpc-status grpc-message ");
  EXPECT_TRUE(answer.ended);
}

TEST(AnswerText, SaysThatAHeadIsAll) {
  AnswerText only;
  ASSERT_TRUE(add(only, {{":status", "200"}, {"grpc-status", "5"}}, true));
  EXPECT_EQ(taken(only), "HTTP/1.1 200 OK\r\ngrpc-status: 5\r\nContent-Length: 0\r\n\r\n");
  for (const char* status : {"204", "304"}) {
    AnswerText text;
    ASSERT_TRUE(add(text, {{":status", status}}, true));
    const std::string all = taken(text);
    EXPECT_THAT(all, Not(HasSubstr("Content-Length")));
    EXPECT_TRUE(read(all).ended);
  }
  AnswerText head;
  head.begin(true);
  ASSERT_TRUE(add(head, {{":status", "200"}, {"content-length", "7"}}, true));
  EXPECT_TRUE(read(taken(head), "HEAD").ended);
}

TEST(AnswerText, PutsInformationInFrontAndBoundsIt) {
  AnswerText text;
  ASSERT_TRUE(add(text, {{":status", "103"}, {"link", "</a>"}}, false));
  ASSERT_TRUE(add(text, {{":status", "200"}}, true));
  EXPECT_EQ(taken(text),
            "HTTP/1.1 103 Unknown\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  AnswerText many;
  for (unsigned count = 0; count < AnswerText::kMostInformational; ++count)
    ASSERT_TRUE(add(many, {{":status", "103"}}, false));
  EXPECT_FALSE(add(many, {{":status", "103"}}, false));
  AnswerText all_there_is;
  EXPECT_FALSE(add(all_there_is, {{":status", "103"}}, true));
}

TEST(AnswerText, RefusesWhatHttp1WouldReadOtherwise) {
  for (const Pairs& fields : std::vector<Pairs>{{{":status", "200"}, {"transfer-encoding", "chunked"}},
                                                {{":status", "200"}, {"connection", "close"}},
                                                {{":status", "200"}, {"upgrade", "websocket"}},
                                                {{":status", "200"}, {"a", "1\r\nb: 2"}},
                                                {{":status", "200"}, {"a: 1\r\nb", "2"}},
                                                {{":status", "200"}, {"", "2"}},
                                                {{":status", "200"}, {"a b", "2"}},
                                                {{":status", "200"}, {":path", "/"}},
                                                {{":status", "200"}, {":status", "200"}},
                                                {{"a", "1"}, {":status", "200"}},
                                                {{":status", "200 OK\r\na: 1"}},
                                                {{":status", "101"}},
                                                {{":status", "20"}},
                                                {{":status", "2000"}},
                                                {{":status", "-20"}},
                                                {{":status", "099"}},
                                                {{":status", ""}},
                                                {{"a", "1"}}}) {
    AnswerText text;
    EXPECT_FALSE(add(text, fields, true)) << fields.back().first << " " << fields.back().second;
  }
  AnswerText two;
  ASSERT_TRUE(add(two, {{":status", "200"}, {"content-length", "1"}, {"content-length", "1"}}, false));
  EXPECT_TRUE(read(taken(two)).refused);
}

TEST(AnswerText, TakesNoMoreThanHeadsHave) {
  AnswerText fields;
  ASSERT_TRUE(fields.add_field(":status", "200", kLimits));
  for (std::size_t count = 2; count < kLimits.fields; ++count)
    ASSERT_TRUE(fields.add_field("a", "b", kLimits)) << count;
  EXPECT_FALSE(fields.add_field("a", "b", kLimits));
  AnswerText large;
  ASSERT_TRUE(large.add_field(":status", "200", kLimits));
  ASSERT_TRUE(large.add_field("a", std::string(30'000, 'x'), kLimits));
  EXPECT_FALSE(large.add_field("b", std::string(3'000, 'x'), kLimits));
  AnswerText most;  // what is taken here the parser takes as well
  ASSERT_TRUE(most.add_field(":status", "200", kLimits));
  for (std::size_t size = 32'000; size > 0; --size)
    if (most.add_field("a", std::string(size, 'x'), kLimits)) break;
  ASSERT_TRUE(most.end_fields(true));
  EXPECT_FALSE(read(taken(most)).refused);
}

TEST(FieldList, MakesARequestOfAHead) {
  FieldList list;
  list.add_request(
      "POST /p?q HTTP/1.1\r\nHost: a.test:80\r\nContent-Type: application/grpc\r\nTransfer-Encoding: "
      "chunked\r\n"
      "Connection: close\r\nTE: gzip\r\nX-A: b: c\r\nX-Empty: \r\n\r\n",
      "https", true);
  std::vector<std::string> fields;
  for (const nghttp2_nv& one : list.finish())
    fields.push_back(std::string(view_of(one.name, one.namelen)) + "=" +
                     std::string(view_of(one.value, one.valuelen)));
  EXPECT_THAT(fields, ElementsAre(":method=POST", ":scheme=https", ":authority=a.test:80", ":path=/p?q",
                                  "content-type=application/grpc", "x-a=b: c", "x-empty=", "te=trailers"));
}

TEST(Endpoints, OfHttp2AreOthersThanThoseOfHttp1) {
  Endpoints endpoints;
  const auto of = [&](std::string_view url) { return endpoints.backend(url).value().endpoint; };
  EXPECT_EQ(of("h2c://127.0.0.1:1"), of("grpc://127.0.0.1:1"));
  EXPECT_EQ(of("h2://127.0.0.1:1"), of("grpcs://127.0.0.1:1"));
  EXPECT_NE(of("h2c://127.0.0.1:1"), of("http://127.0.0.1:1"));
  EXPECT_NE(of("h2c://127.0.0.1:1"), of("h2://127.0.0.1:1"));
  EXPECT_NE(of("https://127.0.0.1:1"), of("h2://127.0.0.1:1"));
  EXPECT_EQ(of("h2c://127.0.0.1")->authority, "127.0.0.1:80");
  EXPECT_EQ(of("grpcs://127.0.0.1")->authority, "127.0.0.1:443");
  EXPECT_TRUE(of("grpcs://127.0.0.1")->tls);
  EXPECT_EQ(of("https://127.0.0.1")->protocol, Protocol::http1);
  EXPECT_FALSE(endpoints.backend("h3://127.0.0.1"));
}

}  // namespace
}  // namespace berth::proxy
