// SPDX-License-Identifier: Apache-2.0
// Datagrams of a container, and of whoever claims to be the server that it asked: whatever comes, what is
// answered is well-formed, fits into what the client takes, and belongs to the question.
#include <cstdlib>

#include "names/answer.h"
#include "names/protocol.h"

namespace {

using namespace berth::names;

void require(bool condition) {
  if (!condition) std::abort();
}

Directory make_directory() {
  Directory directory;
  Network network{"n1", "backend", {}};
  for (int i = 0; i < 50; ++i)
    network.endpoints.push_back(
        {"c" + std::to_string(i),
         {"web", "db" + std::to_string(i)},
         {*Address::parse("10.0.0." + std::to_string(i)), *Address::parse("fd00::1")}});
  require(directory.set_network(std::move(network)).has_value());
  return directory;
}

// Every record is readable, and nothing follows them.
void require_well_formed(Bytes message, const Question* question) {
  std::optional<MessageReader> reader = MessageReader::open(message);
  require(reader && reader->header().is_response());
  Question repeated;
  require(reader->header().questions <= 1);
  if (reader->header().questions == 1)
    require(reader->read(repeated) && (!question || repeated == *question));
  Record record;
  const int records = reader->header().answers + reader->header().authorities + reader->header().additionals;
  for (int i = 0; i < records; ++i) require(reader->read(record));
  require(reader->at_end());
}

void be_asked(Directory& directory, Bytes message) {
  static std::vector<unsigned char> out(kLargestMessage);
  const View view{.networks = {"n1"}, .forward = message.size() % 2 == 0};
  for (Transport transport : {Transport::udp, Transport::tcp}) {
    const Verdict verdict = judge(directory, view, message, transport, out);
    const auto query = parse_query(message);
    if (verdict.kind == Verdict::Kind::ignored) require(!query && !query.error().rcode);
    if (verdict.kind == Verdict::Kind::forward) require(query && query->question == verdict.query.question);
    if (verdict.kind != Verdict::Kind::answered) continue;
    if (query && transport == Transport::udp) require(verdict.size <= query->datagram_limit());
    require_well_formed(Bytes(out).first(verdict.size), query ? &query->question : nullptr);
  }
}

void be_answered(Bytes message) {
  std::optional<MessageReader> reader = MessageReader::open(message);
  Question question;
  if (!reader || !reader->read(question)) return;
  if (!answers_query(message, reader->header().id, question)) return;
  Query query{.question = question, .edns = Edns{.datagram_size = 512}};
  std::vector<unsigned char> answer(message.begin(), message.end());
  truncate_answer(answer, query);
  require_well_formed(answer, nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  static Directory directory = make_directory();
  be_asked(directory, {data, size});
  be_answered({data, size});
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  (void)decode_sandbox_view(body);
  if (auto network = decode_network(body)) require(decode_network(encode(*network)) == *network);
  return 0;
}
