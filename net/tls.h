// Says who the server is to its clients over TLS: a certificate and its private key, from PEM files.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>

namespace boost::asio::ssl {
class context;
}

namespace uhd {

// Thread-safe. TLS 1.2 and later are spoken, by OpenSSL.
class TlsIdentity {
 public:
  // `certificate` holds the server's certificate and those of the authorities between it and a known one. A
  // file that cannot be read, a key of another certificate, a key that asks for a password, and one that
  // users beyond the owner and its group may read are an Error.
  TlsIdentity(std::filesystem::path certificate, std::filesystem::path key);

  // Reads the files again, for connections that begin from now on. After an Error the old ones hold.
  void reload();
  std::shared_ptr<boost::asio::ssl::context> context() const;

 private:
  const std::filesystem::path certificate_, key_;
  mutable std::mutex mutex_;
  std::shared_ptr<boost::asio::ssl::context> context_;
};

}  // namespace uhd
