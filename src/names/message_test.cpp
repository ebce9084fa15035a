// SPDX-License-Identifier: Apache-2.0
#include "names/message.h"

#include <gmock/gmock.h>

#include "names/test_support.h"

namespace berth::names {
namespace {

Message from_text(std::string_view text) { return {text.begin(), text.end()}; }

std::optional<Rcode> refusal_of(const Message& message) {
  auto query = parse_query(message);
  if (query) throw std::runtime_error("the query was taken");
  return query.error().rcode;
}

// A query as dig sends it, byte by byte.
const Message kQueryOfWeb =
    from_text(std::string_view("\x12\x34\x01\x20\0\1\0\0\0\0\0\1"
                               "\3WeB\7Example\0\0\1\0\1"
                               "\0\0\x29\x10\0\0\0\x80\0\0\0",
                               12 + 13 + 4 + 11));

TEST(Query, IsReadFromItsBytes) {
  auto query = parse_query(kQueryOfWeb);
  ASSERT_TRUE(query);
  EXPECT_EQ(query->header.id, 0x1234);
  EXPECT_TRUE(query->header.recursion_desired());
  EXPECT_EQ(query->question, (Question{"web.example", 2, record_type::a, kClassInternet}));
  EXPECT_EQ(query->question_end, 12u + 13 + 4);
  ASSERT_TRUE(query->edns);
  EXPECT_EQ(query->edns->datagram_size, 4096);
  EXPECT_TRUE(query->edns->dnssec_ok);
}

TEST(Query, ThatIsCutAnywhereIsRefused) {
  for (std::size_t size = 0; size < kQueryOfWeb.size(); ++size) {
    auto query = parse_query(Bytes(kQueryOfWeb).first(size));
    ASSERT_FALSE(query) << size;
    EXPECT_EQ(query.error().rcode, size < 12 ? std::nullopt : std::optional(Rcode::format_error)) << size;
  }
}

TEST(Query, WithBytesAfterItsEndIsRefused) {
  Message message = kQueryOfWeb;
  message.push_back(0);
  EXPECT_EQ(refusal_of(message), Rcode::format_error);
}

TEST(Query, ThatIsAResponseIsDropped) {
  Message message = kQueryOfWeb;
  message[2] |= 0x80;
  EXPECT_EQ(refusal_of(message), std::nullopt);
}

TEST(Query, OfAnotherOpcodeIsNotImplemented) {
  Message message = kQueryOfWeb;
  message[2] |= 5 << 3;  // UPDATE
  EXPECT_EQ(refusal_of(message), Rcode::not_implemented);
  unsigned char out[kHeaderSize];
  EXPECT_EQ(write_refusal(message, Rcode::not_implemented, out), kHeaderSize);
  EXPECT_THAT(out, testing::ElementsAre(0x12, 0x34, 0xA9, 0x84, 0, 0, 0, 0, 0, 0, 0, 0));
}

TEST(Query, HasOneQuestion) {
  for (unsigned char count : {0, 2}) {
    Message message = make_query("web");
    message[5] = count;
    EXPECT_EQ(refusal_of(message), Rcode::format_error);
  }
}

TEST(Query, HasOneOptRecordAtMost) {
  Message message = make_query("web", {.edns_size = 1232});
  message.insert(message.end(), message.end() - 11, message.end());
  message[11] = 2;
  EXPECT_EQ(refusal_of(message), Rcode::format_error);
}

// A record as a query may carry it beside OPT; `owner` as on the wire.
void append_record(Message& message, std::string_view owner) {
  message.insert(message.end(), owner.begin(), owner.end());
  append16(message, record_type::txt);
  append16(message, kClassInternet);
  for (int i = 0; i < 3; ++i) append16(message, 0);  // its time to live, and no data
}

TEST(Query, HasItsOptRecordAmongAFewOthers) {
  const std::string_view question_name("\xC0\x0C", 2);
  for (std::size_t before = 0; before < kMostQueryRecords; ++before) {
    const Message opt(kQueryOfWeb.end() - 11, kQueryOfWeb.end());
    Message message(kQueryOfWeb.begin(), kQueryOfWeb.end() - 11);
    for (std::size_t i = 0; i < kMostQueryRecords; ++i) {
      if (i != before)
        append_record(message, question_name);
      else
        message.insert(message.end(), opt.begin(), opt.end());
    }
    message[11] = kMostQueryRecords;
    const auto query = parse_query(message);
    ASSERT_TRUE(query) << before;
    ASSERT_TRUE(query->edns) << before;
    EXPECT_EQ(query->edns->datagram_size, 4096) << before;
    append_record(message, question_name);
    ++message[11];
    EXPECT_EQ(refusal_of(message), Rcode::format_error) << before;
  }
}

TEST(Query, WithManyRecordsInAnySectionIsRefused) {
  for (std::size_t section : {6u, 8u, 10u}) {
    Message message = make_query("web");
    for (std::size_t i = 0; i <= kMostQueryRecords; ++i) append_record(message, {"\0", 1});
    message[section + 1] = kMostQueryRecords + 1;
    EXPECT_EQ(refusal_of(message), Rcode::format_error) << section;
  }
}

// What its owners' pointers lead to is nobody's business here, and must cost nothing. Seen by an owner that
// would be too long as a whole name.
TEST(Query, HasItsRecordsOwnersPassedOverAndNotExpanded) {
  const auto label = [](std::size_t size) {
    return std::string(1, static_cast<char>(size)) + std::string(size, '\1');
  };
  Message message = make_query("web");
  const std::size_t first = message.size();
  append_record(message, label(63) + label(63) + label(63) + std::string(1, 0));
  append_record(message, label(63) + "\xC0" + static_cast<char>(first));
  message[11] = 2;
  EXPECT_TRUE(parse_query(message));
}

TEST(Query, WhoseRecordsOwnerIsNoNameIsRefused) {
  const std::string label = std::string(1, 63) + std::string(63, 'x');
  const std::string reserved = std::string(1, 0x41) + std::string(0x41, 'x');  // of a reserved kind
  const std::string cut = "?a";  // 63 bytes, and there are fewer
  const std::string longer = label + label + label + label;
  for (const std::string& owner : {reserved + '\0', cut, longer + '\0'}) {
    Message message = make_query("web");
    append_record(message, owner);
    message[11] = 1;
    EXPECT_EQ(refusal_of(message), Rcode::format_error);
  }
}

TEST(Query, LimitsDatagramsBetweenWhatAllTakeAndWhatWeSend) {
  const auto limit = [](std::size_t size) {
    return parse_query(make_query("web", {.edns_size = size}))->datagram_limit();
  };
  EXPECT_EQ(limit(0), 512u);
  EXPECT_EQ(limit(100), 512u);
  EXPECT_EQ(limit(1232), 1232u);
  EXPECT_EQ(limit(65'535), 4096u);
}

// --- names ---

struct ReadName {
  bool fine = false;
  std::string name;
  std::size_t labels = 0, end = 0;
};

ReadName read_name_at(std::string_view after_header, std::size_t offset) {
  Message message(kHeaderSize);
  message.insert(message.end(), after_header.begin(), after_header.end());
  MessageReader reader = *MessageReader::open(message);
  reader.seek(kHeaderSize + offset);
  ReadName read;
  read.fine = reader.read_name(read.name, read.labels);
  read.end = reader.position() - kHeaderSize;
  return read;
}

TEST(Name, IsFollowedToWhatItsPointerNames) {
  const ReadName read = read_name_at({"\3Foo\0\3bar\xC0\x0C", 11}, 5);
  EXPECT_TRUE(read.fine);
  EXPECT_EQ(read.name, "bar.foo");
  EXPECT_EQ(read.labels, 2u);
  EXPECT_EQ(read.end, 11u);
}

TEST(Name, MayNotPointForwardsNorToItselfNorIntoTheHeader) {
  EXPECT_FALSE(read_name_at({"\xC0\x0E\1a\0", 5}, 0).fine);
  EXPECT_FALSE(read_name_at({"\xC0\x0C\0\0", 4}, 0).fine);
  EXPECT_FALSE(read_name_at({"\1a\xC0\x0C\0", 5}, 0).fine);  // a circle: it would repeat "a" for ever
  EXPECT_FALSE(read_name_at({"\1a\0\xC0\x02", 5}, 3).fine);
}

TEST(Name, FollowsFewPointers) {
  std::string chain("\1a\0", 3);
  for (unsigned target = 12; chain.size() < 3 + 2 * 20;) {
    const std::size_t at = 12 + chain.size();
    chain += static_cast<char>(0xC0);
    chain += static_cast<char>(target);
    target = static_cast<unsigned>(at);
  }
  EXPECT_TRUE(read_name_at(chain, 3 + 2 * 15).fine);
  EXPECT_FALSE(read_name_at(chain, 3 + 2 * 16).fine);
}

TEST(Name, HasAtMost255Bytes) {
  std::string name;
  for (int i = 0; i < 3; ++i) name += std::string(1, 63) + std::string(63, 'x');
  const std::string longest = name + std::string(1, 61) + std::string(61, 'y') + std::string(1, 0);
  const std::string longer = name + std::string(1, 62) + std::string(62, 'y') + std::string(1, 0);
  ASSERT_EQ(longest.size(), 255u);
  EXPECT_TRUE(read_name_at(longest, 0).fine);
  EXPECT_FALSE(read_name_at(longer, 0).fine);
}

TEST(Name, WithBytesThatNoHostHasEqualsNoHost) {
  EXPECT_EQ(read_name_at({"\3a.b\1 \2\\\xFF\0", 10}, 0).name, "a\\.b.\\032.\\\\\\255");
}

TEST(Name, OfAReservedLabelKindIsRefused) {
  EXPECT_FALSE(read_name_at({"\x41"
                             "a\0",
                             3},
                            0)
                   .fine);
  EXPECT_FALSE(read_name_at({"\x81"
                             "a\0",
                             3},
                            0)
                   .fine);
}

TEST(ValidName, IsWhatAQueryCanAskFor) {
  for (const char* name : {"web", "my_app-1", "a.b.c", "0"}) EXPECT_TRUE(valid_name(name)) << name;
  for (const char* name : {"", ".", "a..b", ".a", "a.", "a b", "a/b", "\xC3\xA4"})
    EXPECT_FALSE(valid_name(name)) << name;
  EXPECT_TRUE(valid_name(std::string(63, 'a')));
  EXPECT_FALSE(valid_name(std::string(64, 'a')));
  std::string longest;
  for (int i = 0; i < 126; ++i) longest += "a.";
  EXPECT_TRUE(valid_name(longest + "a"));
  EXPECT_FALSE(valid_name(longest + "aa"));
}

TEST(ReverseName, LeadsToItsAddressAndBack) {
  for (const char* text : {"172.18.0.200", "0.0.0.0", "fd00::1:abcd", "2001:db8::ff00:42:8329"}) {
    const Address address = *Address::parse(text);
    EXPECT_EQ(address_of_reverse_name(reverse_name(address)), address) << reverse_name(address);
  }
  EXPECT_EQ(reverse_name(*Address::parse("192.0.2.10")), "10.2.0.192.in-addr.arpa");
  for (const char* name :
       {"in-addr.arpa", "1.2.3.in-addr.arpa", "1.2.3.4.5.in-addr.arpa", "01.2.3.4.in-addr.arpa",
        "256.2.3.4.in-addr.arpa", "1.ip6.arpa", "1.2.3.4.example"})
    EXPECT_FALSE(address_of_reverse_name(name)) << name;
}

// --- answers ---

TEST(AnswerWriter, WritesTheseBytes) {
  const auto query = parse_query(kQueryOfWeb);
  unsigned char out[512];
  AnswerWriter writer(kQueryOfWeb, *query, 512, out);
  EXPECT_TRUE(writer.add_address(*Address::parse("10.1.2.3"), 5));
  EXPECT_TRUE(writer.add_address(*Address::parse("fd00::9"), 5));
  const std::size_t size = writer.finish(Rcode::no_error, true);
  const Message expected =
      from_text(std::string_view("\x12\x34\x85\x80\0\1\0\2\0\0\0\1"
                                 "\3WeB\7Example\0\0\1\0\1"  // the client's own letters
                                 "\xC0\x0C\0\1\0\1\0\0\0\5\0\4\x0A\1\2\3"
                                 "\xC0\x0C\0\x1C\0\1\0\0\0\5\0\x10\xFD\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x09"
                                 "\0\0\x29\x10\0\0\0\x80\0\0\0",
                                 12 + 17 + 16 + 28 + 11));
  EXPECT_EQ(Message(out, out + size), expected);
}

TEST(AnswerWriter, MarksWhatDoesNotFitAndKeepsToTheLimit) {
  for (std::size_t edns : {0u, 1232u}) {
    const Message message = make_query("many.example", {.edns_size = edns});
    const auto query = parse_query(message);
    unsigned char out[4096];
    AnswerWriter writer(message, *query, query->datagram_limit(), out);
    int added = 0;
    while (writer.add_address(*Address::parse("10.0.0.1"), 5)) ++added;
    const Answer answer = read_answer({out, writer.finish(Rcode::no_error, true)});
    EXPECT_TRUE(answer.header.truncated());
    EXPECT_EQ(answer.addresses.size(), static_cast<std::size_t>(added));
    EXPECT_LE(answer.size, query->datagram_limit());
    EXPECT_GT(answer.size + 16, query->datagram_limit());
    EXPECT_EQ(answer.edns, edns != 0);
  }
}

TEST(AnswerWriter, PutsTheUpperBitsOfABadVersionIntoTheOptRecord) {
  const Message message = make_query("web", {.edns_size = 1232, .edns_version = 1});
  const auto query = parse_query(message);
  unsigned char out[512];
  AnswerWriter writer(message, *query, 512, out);
  EXPECT_EQ(read_answer({out, writer.finish(Rcode::bad_version, false)}).rcode, 16);
}

Message answer_to(const Message& query) {
  Message answer = query;
  answer[2] |= 0x80;
  return answer;
}

TEST(AnswersQuery, NeedsTheIdTheQuestionAndTheResponseBit) {
  const Message query = make_query("www.example.org");
  const Question question = parse_query(query)->question;
  EXPECT_TRUE(answers_query(answer_to(query), 0x1234, question));
  EXPECT_TRUE(answers_query(answer_to(make_query("WWW.example.ORG")), 0x1234, question));
  EXPECT_FALSE(answers_query(answer_to(query), 0x1235, question));
  EXPECT_FALSE(answers_query(query, 0x1234, question));
  EXPECT_FALSE(answers_query(answer_to(make_query("www.example.com")), 0x1234, question));
  EXPECT_FALSE(
      answers_query(answer_to(make_query("www.example.org", {.type = record_type::aaaa})), 0x1234, question));
  Message bare = answer_to(query);
  bare.resize(kHeaderSize);
  bare[5] = 0;
  EXPECT_FALSE(answers_query(bare, 0x1234, question));
  bare[3] |= 5;  // REFUSED
  EXPECT_TRUE(answers_query(bare, 0x1234, question));
}

TEST(TruncateAnswer, LeavesTheQuestionAndWhatEdnsWants) {
  const Message query = make_query("www.example.org", {.edns_size = 600});
  Message answer = answer_to(query);
  answer.resize(2000, 7);
  truncate_answer(answer, *parse_query(query));
  const Answer read = read_answer(answer);
  EXPECT_TRUE(read.header.truncated());
  EXPECT_TRUE(read.edns);
  EXPECT_EQ(read.question.name, "www.example.org");
  EXPECT_LT(answer.size(), 100u);
}

}  // namespace
}  // namespace berth::names
