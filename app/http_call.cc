#include "app/http_call.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <cstdlib>

#include "base/clock.h"

namespace uhd {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

constexpr auto kTupleAwaitable = asio::as_tuple(asio::use_awaitable);
constexpr size_t kLargestAnswer = size_t{256} << 20;

asio::awaitable<void> post_on(asio::io_context& context, const LoadTarget& target, const std::string& path,
                              std::string body, HttpAnswer& answer) {
  beast::tcp_stream stream(context);
  stream.expires_after(std::chrono::duration_cast<std::chrono::nanoseconds>(from_seconds(target.timeout_s)));
  const auto fails = [&](const boost::system::error_code& error) {
    if (error) answer.failure = error == beast::error::timeout ? "no answer in time" : error.message();
    return static_cast<bool>(error);
  };
  answer.unreachable = true;
  asio::ip::tcp::resolver resolver(context);
  const auto [unknown, addresses] =
      co_await resolver.async_resolve(target.host, target.port, kTupleAwaitable);
  if (fails(unknown)) co_return;
  const auto [refused, at] = co_await stream.async_connect(addresses, kTupleAwaitable);
  if (fails(refused)) co_return;
  answer.unreachable = false;
  http::request<http::string_body> request(http::verb::post, path, 11);
  request.set(http::field::host, target.host + ":" + target.port);
  request.set(http::field::user_agent, "uhd batch");
  request.set(http::field::connection, "close");
  request.set(http::field::content_type, "application/json");
  if (!target.key.empty()) request.set(http::field::authorization, "Bearer " + target.key);
  request.body() = std::move(body);
  request.prepare_payload();
  // A server that refuses a body answers before it has read all of it: what it says is read in any case.
  co_await http::async_write(stream, request, kTupleAwaitable);
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kLargestAnswer);
  const auto [unread, read] = co_await http::async_read(stream, buffer, parser, kTupleAwaitable);
  if (fails(unread)) co_return;
  const auto& response = parser.get();
  answer.status = static_cast<int>(response.result_int());
  answer.body = response.body();
  answer.request_id = std::string(response["X-Request-Id"]);
  answer.retry_after_s = std::strtod(std::string(response[http::field::retry_after]).c_str(), nullptr);
}

}  // namespace

HttpAnswer post_json(const LoadTarget& target, const std::string& path, std::string body) {
  HttpAnswer answer;
  asio::io_context context;
  asio::co_spawn(context, post_on(context, target, path, std::move(body), answer), asio::detached);
  context.run();
  return answer;
}

}  // namespace uhd
