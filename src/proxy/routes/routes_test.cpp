// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <map>
#include <random>
#include <thread>

#include "proxy/routes/publication.h"
#include "proxy/routes/route_book.h"
#include "proxy/routes/route_json.h"
#include "proxy/routes/route_store.h"

namespace berth::proxy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

RouteRef route(const std::string& host, const std::string& id = "") {
  auto made = std::make_shared<Route>();
  made->host = host;
  made->id = id;
  return made;
}

TEST(RouteMap, DoesAsAMapDoesAndLeavesTheOldOneAlone) {
  std::mt19937 random(1);
  std::map<std::string, std::string> wanted;
  RouteMap map;
  for (int step = 0; step < 30'000; ++step) {
    const std::string host = fmt::format("h{}.test", random() % 3000);
    const RouteMap before = map;
    const RouteRef* had = before.find(host);
    const std::string had_id = had ? (*had)->id : "none";
    if (random() % 3 == 0) {
      map = map.without(host);
      wanted.erase(host);
    } else {
      map = map.with(route(host, std::to_string(step)));
      wanted[host] = std::to_string(step);
    }
    const RouteRef* still = before.find(host);
    ASSERT_EQ(still ? (*still)->id : "none", had_id);
    ASSERT_EQ(map.size(), wanted.size());
  }
  std::map<std::string, std::string> found;
  map.for_each([&](const RouteRef& one) { found[one->host] = one->id; });
  EXPECT_EQ(found, wanted);
  for (const auto& [host, id] : wanted) EXPECT_EQ((*map.find(host))->id, id);
  EXPECT_EQ(map.find("nobody"), nullptr);
}

TEST(RouteMap, LetsGoOfEverything) {
  const RouteRef kept = route("a");
  {
    RouteMap map;
    for (int count = 0; count < 1000; ++count) map = map.with(route(std::to_string(count)));
    map = map.with(kept);
    EXPECT_EQ(kept.use_count(), 2);
    RouteMap copy = map;
    map = map.without("a");
    EXPECT_EQ(kept.use_count(), 2);
  }
  EXPECT_EQ(kept.use_count(), 1);
}

TEST(RouteTable, TheMostExactRouteHolds) {
  RouteTable table;
  for (const std::string host : {"a.test", "*.test", "*.w.test", "*", "*.six.five.four.three.two.one"})
    table.routes = table.routes.with(route(host));
  const auto found = [&](std::string_view host) { return (*table.find(host))->host; };
  EXPECT_EQ(found("a.test"), "a.test");
  EXPECT_EQ(found("b.test"), "*.test");
  EXPECT_EQ(found("x.w.test"), "*.w.test");
  EXPECT_EQ(found("x.y.w.test"), "*.w.test");
  EXPECT_EQ(found("w.test"), "*.test");
  EXPECT_EQ(found("test"), "*");
  EXPECT_EQ(found("x.six.five.four.three.two.one"), "*");  // Hipache looks at five labels
  EXPECT_EQ(found(std::string(300, 'a')), "*");
}

TEST(RouteTable, WithoutADefaultThereMayBeNone) {
  RouteTable table;
  table.routes = table.routes.with(route("a.test"));
  EXPECT_EQ(table.find("b.test"), nullptr);
  EXPECT_EQ(table.find(""), nullptr);
}

TEST(PublishedRoutes, ReadersAlwaysSeeAWholeTableAndTheLastOne) {
  PublishedRoutes published;
  std::atomic<bool> stop{false};
  std::atomic<int> last{0};
  std::vector<std::thread> threads;
  for (int reader = 0; reader < 3; ++reader)
    threads.emplace_back([&] {
      PublishedRoutes::Reader own(published);
      while (!stop.load()) {
        own.wake();
        const int least = last.load();
        const RouteRef* found = own.table().find("a.test");
        if (found) {
          EXPECT_GE(std::stoi((*found)->id), least);
        } else {
          EXPECT_EQ(least, 0);
        }
        own.sleep();
      }
    });
  RouteMap map;
  for (int count = 1; count <= 20'000; ++count) {
    map = map.with(route("a.test", std::to_string(count)));
    published.publish({map});
    last.store(count);
  }
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
}

TEST(RouteBook, TheFirstOfTheSourcesHolds) {
  PublishedRoutes published;
  PublishedRoutes::Reader reader(published);
  RouteBook book(published);
  const auto holds = [&] {
    const RouteRef* found = reader.table().find("a.test");
    return found ? (*found)->id : "none";
  };
  book.apply(Source::redis, {{"a.test", route("a.test", "redis")}});
  EXPECT_EQ(holds(), "redis");
  book.replace(Source::admin, {route("a.test", "admin"), route("b.test")});
  EXPECT_EQ(holds(), "admin");
  EXPECT_EQ(book.exact("a.test")->source, Source::admin);
  EXPECT_EQ(book.size(), 2u);
  book.replace(Source::admin, {});
  EXPECT_EQ(holds(), "redis");
  EXPECT_EQ(book.size(), 1u);
  book.apply(Source::redis, {{"a.test", nullptr}, {"c.test", nullptr}});
  EXPECT_EQ(holds(), "none");
  EXPECT_FALSE(book.find("a.test"));
}

TEST(Endpoints, AreSharedByAddress) {
  Endpoints endpoints;
  const Backend one = endpoints.backend("http://127.0.0.1:80/a/").value(),
                two = endpoints.backend("http://127.0.0.1").value();
  EXPECT_EQ(one.endpoint, two.endpoint);
  EXPECT_EQ(one.prefix, "/a");
  EXPECT_EQ(two.prefix, "");
  EXPECT_NE(one.endpoint, endpoints.backend("https://127.0.0.1:80").value().endpoint);
  EXPECT_EQ(endpoints.backend("http://[::1]:8080").value().endpoint->authority, "[::1]:8080");
}

TEST(Endpoints, RefuseWhatIsNoAddress) {
  Endpoints endpoints;
  for (const std::string_view url :
       {"", "127.0.0.1:80", "ftp://a", "http://", "http://:80", "http://a:0", "http://a:x", "http://a:70000",
        "http://a b", "http://u@127.0.0.1", "http://127.0.0.1/?q", "http://[::1", "http://[::1]80",
        "http://127.0.0.1/#x", "http://a\r\n"})
    EXPECT_FALSE(endpoints.backend(url)) << url;
}

TEST(RouteJson, ReadsWhatItWrites) {
  Endpoints endpoints;
  const std::string text =
      R"({"backends":[{"url":"http://127.0.0.1:1","weight":9},{"url":"http://127.0.0.1:2","weight":1}],)"
      R"("id":"x","balance":"hash","sticky":true,"health":{"path":"/up","interval_ms":200,"timeout_ms":100}})";
  const RouteRef made = parse_route("A.test", text, endpoints).value();
  EXPECT_EQ(made->host, "a.test");
  EXPECT_EQ(made->backends[0].weight, 9u);
  EXPECT_EQ(format_route(*parse_route("a.test", format_route(*made), endpoints).value()),
            format_route(*made));
  EXPECT_THAT(format_route(*made), HasSubstr(R"("interval_ms":200)"));
  EXPECT_EQ(parse_route("*", R"({"backends":["http://127.0.0.1"]})", endpoints).value()->backends.size(), 1u);
}

TEST(RouteJson, SaysWhatIsWrong) {
  Endpoints endpoints;
  const auto said = [&](std::string_view text, std::string_view host = "a.test") {
    const Result<RouteRef> made = parse_route(host, text, endpoints);
    return made ? "nothing" : made.error().message;
  };
  EXPECT_THAT(said("{bad"), HasSubstr("not valid JSON"));
  EXPECT_THAT(said("{}"), HasSubstr("has no backends"));
  EXPECT_THAT(said(R"({"backends":[]})"), HasSubstr("backends must be a list"));
  EXPECT_THAT(said(R"({"backends":["notaurl"]})"), HasSubstr("notaurl"));
  EXPECT_THAT(said(R"({"backends":[{"url":"http://127.0.0.1","weight":1001}]})"), HasSubstr("weight"));
  EXPECT_THAT(said(R"({"backends":["http://127.0.0.1"],"balance":"best"})"), HasSubstr("round-robin"));
  EXPECT_THAT(said(R"({"backends":["http://127.0.0.1"],"health":{"path":"x"}})"), HasSubstr("health.path"));
  for (const std::string_view host : {"", "a b", "a/b", "*a", "a.*", "*.", "a:80", "[::1"})
    EXPECT_THAT(said(R"({"backends":["http://127.0.0.1"]})", host), HasSubstr("no host name")) << host;
}

TEST(RouteStore, KeepsRoutesBySource) {
  const TemporaryDirectory directory = TemporaryDirectory::create("routes").value();
  Endpoints endpoints;
  const auto read = [&](RouteStore& store, Source source) {
    std::vector<std::string> hosts;
    const std::vector<RouteRef> routes = store.read(source, endpoints).value();
    for (const RouteRef& one : routes) hosts.push_back(one->host);
    return hosts;
  };
  const auto made = [&](std::string_view host) {
    return parse_route(host, R"({"backends":["http://127.0.0.1"]})", endpoints).value();
  };
  {
    const auto store = RouteStore::open(directory.path() + "/r.db").value();
    ASSERT_TRUE(store->write(Source::admin, {{"a.test", made("a.test")}, {"b.test", made("b.test")}}));
    ASSERT_TRUE(store->replace(Source::redis, {made("c.test")}));
    ASSERT_TRUE(store->write(Source::admin, {{"a.test", nullptr}}));
  }
  const auto store = RouteStore::open(directory.path() + "/r.db").value();
  EXPECT_THAT(read(*store, Source::admin), ElementsAre("b.test"));
  EXPECT_THAT(read(*store, Source::redis), ElementsAre("c.test"));
}

}  // namespace
}  // namespace berth::proxy
