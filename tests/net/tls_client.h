// A TlsClient speaks TLS to a server of the tests, and trusts whatever certificate it shows.
#pragma once

#include <openssl/ssl.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "tests/net/raw_client.h"

namespace uhd {

// Writes a certificate for localhost and its key to these files.
void make_certificate(const std::filesystem::path& certificate, const std::filesystem::path& key);

// It blocks, with a RawClient's limit on every wait.
class TlsClient {
 public:
  explicit TlsClient(int port);

  bool send(std::string_view bytes);  // returns false when the server has reset the connection
  std::string read_all();             // reads until the server ends TLS or the connection

 private:
  RawClient client_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{SSL_CTX_new(TLS_client_method()), SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> tls_{SSL_new(context_.get()), SSL_free};
};

}  // namespace uhd
