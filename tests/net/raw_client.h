// A RawClient is a socket that sends exactly what a test tells it to. It blocks, with a limit on every wait.
#pragma once

#include <string>
#include <string_view>

namespace uhd {

class RawClient {
 public:
  explicit RawClient(int port);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool send(std::string_view bytes);  // returns false when the server has closed
  // Reads until `mark` has come, and returns the text up to and with it; it is shorter at the end of the
  // connection.
  std::string read_until(std::string_view mark);
  std::string read_all();                                      // reads until the server closes
  bool closed_by_server() const { return closed_by_server_; }  // true if the last read met the end
  // A Response is one response with a Content-Length, or chunked (decoded): the header and the body.
  struct Response {
    int status = 0;
    std::string header;
    std::string body;
  };
  Response read_response();
  void end_sending();  // the other side sees the end, and may still answer
  int descriptor() const { return socket_; }
  void leave();  // closes, like a client that loses interest
  void reset();  // ends the connection without a word, like a client that is gone

 private:
  bool fill();
  int socket_ = -1;
  bool closed_by_server_ = false;
  std::string held_;
};

// Returns "POST path HTTP/1.1" with host, length and the body; `extra` header lines end in \r\n each.
std::string post(const std::string& path, const std::string& body, const std::string& extra = "");
std::string get(const std::string& path, const std::string& extra = "");

}  // namespace uhd
