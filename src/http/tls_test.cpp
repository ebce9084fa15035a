// SPDX-License-Identifier: Apache-2.0
#include "http/tls.h"

#include <gmock/gmock.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <latch>
#include <thread>

#include "http/http_test.h"

namespace berth::http {
namespace {

using KeyPointer = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using CertificatePointer = std::unique_ptr<X509, decltype(&X509_free)>;

struct Identity {
  KeyPointer key{EVP_EC_gen("P-256"), EVP_PKEY_free};
  CertificatePointer certificate{X509_new(), X509_free};
};

void add_extension(X509* certificate, X509* issuer, int id, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

Identity make_identity(const char* name, const Identity* issuer) {
  static long serial = 1;
  Identity made;
  X509* certificate = made.certificate.get();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, made.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509* signer = issuer ? issuer->certificate.get() : certificate;
  X509_set_issuer_name(certificate, X509_get_subject_name(signer));
  add_extension(certificate, signer, NID_basic_constraints, issuer ? "CA:FALSE" : "critical,CA:TRUE");
  if (issuer) add_extension(certificate, signer, NID_subject_alt_name, "IP:127.0.0.1");
  X509_sign(certificate, (issuer ? *issuer : made).key.get(), EVP_sha256());
  return made;
}

// An authority, a server and a client in PEM files, and a stranger signed by somebody else.
class Tls : public testing::Test {
 protected:
  Tls() {
    Identity authority = make_identity("authority", nullptr), other = make_identity("other", nullptr);
    write("ca", authority);
    write("other-ca", other);
    write("server", make_identity("server", &authority));
    write("client", make_identity("client", &authority));
    write("stranger", make_identity("stranger", &other));
  }
  void write(const std::string& name, const Identity& identity) {
    FILE* file = fopen(path(name + ".crt").c_str(), "we");
    PEM_write_X509(file, identity.certificate.get());
    fclose(file);
    file = fopen(path(name + ".key").c_str(), "we");
    PEM_write_PrivateKey(file, identity.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    fclose(file);
  }
  std::string path(const std::string& name) const { return directory_.path() + "/" + name; }

  void serve(Handler handler, bool verify_clients) {
    auto tls = must(make_server_tls(
        {path("server.crt"), path("server.key"), verify_clients ? path("ca.crt") : std::string()}));
    std::vector<Listener> listeners;
    listeners.push_back(must(listen_tcp("127.0.0.1", 0, tls)));
    port_ = port_of(listeners[0]);
    must(server_.start(std::move(listeners), std::move(handler),
                       {.stop_grace = std::chrono::milliseconds(50)}));
  }
  Client client(const TlsClientSettings& settings, const std::string& host = "127.0.0.1") {
    return Client(must(Endpoint::parse(fmt::format("tcp://{}:{}", host, port_), settings)));
  }
  TlsClientSettings as(const std::string& name) {
    return {.authority = path("ca.crt"), .certificate = path(name + ".crt"), .key = path(name + ".key")};
  }

  TemporaryDirectory directory_ = must(TemporaryDirectory::create("tls"));
  std::uint16_t port_ = 0;
  Server server_;
};

TEST_F(Tls, ServesClientsWithoutACertificate) {
  serve(
      [](Exchange& exchange) {
        EXPECT_TRUE(exchange.request().peer.tls);
        EXPECT_EQ(exchange.request().peer.certificate_name, "");
        must(exchange.begin(200, {}));
        must(exchange.write(must(exchange.read_body_whole(1 << 20))));
        must(exchange.finish());
      },
      false);
  Client trusting = client({.authority = path("ca.crt")});
  const std::string large(300000, 'x');
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(must(must(trusting.request("POST", "/", {}, large)).read_whole(1 << 20)), large);
  EXPECT_EQ(server_.connections(), 1u);
}

TEST_F(Tls, ClientRefusesServersThatItCannotTrust) {
  serve(echo, false);
  Result<Response> unknown = client({.authority = path("other-ca.crt")}).request("GET", "/");
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, testing::HasSubstr("not trusted"));
  EXPECT_FALSE(client({.authority = path("ca.crt")}, "localhost").request("GET", "/"));  // not its name
  EXPECT_TRUE(client({.verify = false}, "localhost").request("GET", "/"));
}

TEST_F(Tls, ServerDemandsACertificateOfItsAuthority) {
  serve([](Exchange& exchange) { (void)exchange.respond(200, {}, exchange.request().peer.certificate_name); },
        true);
  EXPECT_EQ(must(must(client(as("client")).request("GET", "/")).read_whole(100)), "CN=client");
  EXPECT_FALSE(client({.authority = path("ca.crt")}).request("GET", "/"));
  EXPECT_FALSE(client(as("stranger")).request("GET", "/"));
}

TEST_F(Tls, RelaysATakenConnectionWithHalfClose) {
  serve(
      [](Exchange& exchange) {
        HijackedConnection taken = must(exchange.hijack(101, {{"Upgrade", "tcp"}}));
        std::string all = taken.leftover + must(read_to_end(taken.socket.get(), 1 << 20));
        must(write_all(taken.socket.get(), all));
      },
      true);
  Client connecting = client(as("client"));
  auto answer = must(connecting.upgrade("POST", "/attach", "tcp"));
  Upgraded& upgraded = std::get<Upgraded>(answer);
  std::string large;
  for (int i = 0; i < 100000; ++i) large += std::to_string(i % 10);
  must(write_all(upgraded.socket.get(), large));
  ::shutdown(upgraded.socket.get(), SHUT_WR);
  EXPECT_EQ(upgraded.leftover + must(read_to_end(upgraded.socket.get(), 1 << 20)), large);
  upgraded.socket.reset();
  for (int i = 0; i < 1000 && server_.connections() > 0; ++i) usleep(5000);
  EXPECT_EQ(server_.connections(), 0u);
}

TEST_F(Tls, RelaysBothWaysAtOnceUnderPressure) {
  std::latch server_done(1);
  serve(
      [&](Exchange& exchange) {
        HijackedConnection taken = must(exchange.hijack(101, {{"Upgrade", "tcp"}}));
        std::jthread writer([&] {
          std::string part(50000, 's');
          for (int i = 0; i < 100; ++i) must(write_all(taken.socket.get(), part));
          ::shutdown(taken.socket.get(), SHUT_WR);
        });
        EXPECT_EQ(must(read_to_end(taken.socket.get(), 10 << 20)).size(), 5000000u);
        server_done.count_down();
      },
      false);
  Client connecting = client({.verify = false});
  auto answer = must(connecting.upgrade("POST", "/attach", "tcp"));
  Upgraded& upgraded = std::get<Upgraded>(answer);
  std::jthread writer([&] {
    std::string part(50000, 'c');
    for (int i = 0; i < 100; ++i) must(write_all(upgraded.socket.get(), part));
    ::shutdown(upgraded.socket.get(), SHUT_WR);
  });
  EXPECT_EQ(upgraded.leftover.size() + must(read_to_end(upgraded.socket.get(), 10 << 20)).size(), 5000000u);
  server_done.wait();  // before the fixture stops the server
}

TEST_F(Tls, StopEndsRelaysAndHandshakes) {
  HijackedConnection taken;
  serve([&](Exchange& exchange) { taken = must(exchange.hijack(101, {})); }, false);
  Client connecting = client({.verify = false});
  auto answer = must(connecting.upgrade("POST", "/attach", "tcp"));
  Fd silent = must(connect_tcp("127.0.0.1", port_));
  while (server_.connections() < 2) usleep(1000);
  server_.stop();
  char byte;
  EXPECT_EQ(recv(std::get<Upgraded>(answer).socket.get(), &byte, 1, 0), 0);
}

TEST_F(Tls, SaysWhichFileIsWrong) {
  Result<std::shared_ptr<TlsContext>> missing = make_server_tls({path("none.crt"), path("server.key"), ""});
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, testing::HasSubstr("none.crt"));
  EXPECT_FALSE(make_server_tls({path("server.crt"), path("client.key"), ""}));
  EXPECT_FALSE(make_client_tls({.authority = path("server.key")}));
}

}  // namespace
}  // namespace berth::http
