#include "net/tls.h"

#include <sys/stat.h>

#include <boost/asio/ssl/context.hpp>

#include "base/error.h"

namespace uhd {

namespace ssl = boost::asio::ssl;

namespace {

void check_private(const std::filesystem::path& key) {
  struct stat found {};
  require(stat(key.c_str(), &found) == 0, "net.tls_key: cannot read ", key.string());
  require((found.st_mode & 0007) == 0, "net.tls_key: every user may read or change ", key.string(),
          "; take the rights of others away (chmod o= FILE)");
}

std::shared_ptr<ssl::context> load(const std::filesystem::path& certificate,
                                   const std::filesystem::path& key) {
  check_private(key);
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  require(SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION) == 1,
          "OpenSSL does not speak TLS 1.2");
  context->set_password_callback([](size_t, ssl::context::password_purpose) { return std::string(); });
  boost::system::error_code failed;
  context->use_certificate_chain_file(certificate.string(), failed);
  require(!failed, "net.tls_certificate: cannot take ", certificate.string(), ": ", failed.message());
  context->use_private_key_file(key.string(), ssl::context::pem, failed);
  require(!failed, "net.tls_key: cannot take ", key.string(), ": ", failed.message());
  return context;
}

}  // namespace

TlsIdentity::TlsIdentity(std::filesystem::path certificate, std::filesystem::path key)
    : certificate_(std::move(certificate)), key_(std::move(key)), context_(load(certificate_, key_)) {}

void TlsIdentity::reload() {
  auto context = load(certificate_, key_);
  const std::lock_guard lock(mutex_);
  context_ = std::move(context);
}

std::shared_ptr<ssl::context> TlsIdentity::context() const {
  const std::lock_guard lock(mutex_);
  return context_;
}

}  // namespace uhd
