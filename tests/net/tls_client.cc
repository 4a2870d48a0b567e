#include "tests/net/tls_client.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

#include <csignal>
#include <cstdio>

#include "base/error.h"

namespace uhd {

namespace {

using File = std::unique_ptr<std::FILE, decltype(&std::fclose)>;

File made(const std::filesystem::path& path) {
  File file(std::fopen(path.c_str(), "w"), std::fclose);
  check(file != nullptr, "cannot make ", path.string());
  return file;
}

}  // namespace

void make_certificate(const std::filesystem::path& certificate, const std::filesystem::path& key) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> pair(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> own(X509_new(), X509_free);
  X509_gmtime_adj(X509_getm_notBefore(own.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(own.get()), 3600);
  X509_set_pubkey(own.get(), pair.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(own.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(own.get(), X509_get_subject_name(own.get()));
  check(X509_sign(own.get(), pair.get(), EVP_sha256()) > 0, "cannot sign");
  check(PEM_write_X509(made(certificate).get(), own.get()) == 1, "cannot write the certificate");
  check(PEM_write_PrivateKey(made(key).get(), pair.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1,
        "cannot write the key");
  std::filesystem::permissions(key, std::filesystem::perms::owner_read);
}

TlsClient::TlsClient(int port) : client_(port) {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL raises it where the server has reset the connection
  SSL_set_fd(tls_.get(), client_.descriptor());
  check(SSL_connect(tls_.get()) == 1, "no TLS at ", port);
}

bool TlsClient::send(std::string_view bytes) {
  return SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size())) > 0;
}

std::string TlsClient::read_all() {
  std::string all;
  char buffer[4096];
  for (int n = 0; (n = SSL_read(tls_.get(), buffer, sizeof(buffer))) > 0;) {
    all.append(buffer, static_cast<size_t>(n));
  }
  return all;
}

}  // namespace uhd
