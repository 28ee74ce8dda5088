#!/usr/bin/perl
# Gets one DHCP lease for a guest that has no client of its own. Source: RFC 2131, RFC 2132.
use strict;
use warnings;
use Socket;

my ($DISCOVER, $REQUEST, $OFFER, $ACK) = (1, 3, 2, 5);
my ($MASK, $ROUTER, $WANTED, $KIND, $SERVER, $LIST) = (1, 3, 50, 53, 54, 55);
my ($UDP, $SO_BINDTODEVICE, $MAGIC) = (17, 25, "\x63\x82\x53\x63");
my $link = 'eth0';
my $PATIENCE_S = 5;    # a server first looks whether somebody has the address

open my $file, '<', "/sys/class/net/$link/address" or die "$link: $!\n";
my $mac = pack 'H*', <$file> =~ s/[^0-9a-f]//gr;
my $id = pack 'N', int rand 2**32;
run('ip', 'link', 'set', 'dev', $link, 'up');
socket my $socket, PF_INET, SOCK_DGRAM, $UDP or die "socket: $!\n";
setsockopt $socket, SOL_SOCKET, SO_BROADCAST, pack 'i', 1 or die "broadcast: $!\n";
setsockopt $socket, SOL_SOCKET, $SO_BINDTODEVICE, "$link\0" or die "device: $!\n";
bind $socket, sockaddr_in(68, INADDR_ANY) or die "bind: $!\n";

my ($offered, %offer) = ask($OFFER, $KIND => chr $DISCOVER);
my ($address, %lease) = ask($ACK, $KIND => chr $REQUEST, $WANTED => $offered, $SERVER => $offer{$SERVER});
my $prefix = unpack '%32b*', $lease{$MASK};
run('ip', 'address', 'replace', inet_ntoa($address) . "/$prefix", 'dev', $link);
run('ip', 'route', 'replace', 'default', 'via', inet_ntoa(substr $lease{$ROUTER}, 0, 4));

# Sends a message until the answer of a kind comes; returns the address in it, and its options.
sub ask {
    my ($kind, @options) = @_;
    my $fixed = pack 'C4 a4 n2 x16 a16 x192', 1, 1, 6, 0, $id, 0, 0x8000, $mac;
    my $message = $fixed . $MAGIC;
    push @options, $LIST => pack 'C*', $MASK, $ROUTER;
    while (my ($code, $value) = splice @options, 0, 2) { $message .= pack 'C C/a', $code, $value }
    $message .= "\xff";
    while (1) {
        send $socket, $message, 0, sockaddr_in(67, INADDR_BROADCAST) or die "send: $!\n";
        vec(my $ready = '', fileno $socket, 1) = 1;
        while (select my $which = $ready, undef, undef, $PATIENCE_S) {
            defined recv $socket, my $answer, 1500, 0 or die "recv: $!\n";
            my ($operation, $theirs, $yours, $rest) = unpack 'C x3 a4 x8 a4 x216 a*', $answer;
            next if $operation != 2 || $theirs ne $id || substr($rest, 0, 4) ne $MAGIC;
            my %found = options(substr $rest, 4);
            return ($yours, %found) if ord $found{$KIND} == $kind;
        }
    }
}

sub options {
    my ($rest) = @_;
    my %found;
    while (length $rest) {
        my $code = ord $rest;
        last if $code == 255;
        if ($code == 0) { substr $rest, 0, 1, ''; next }
        (undef, $found{$code}) = unpack 'C C/a', $rest;
        substr $rest, 0, 2 + length $found{$code}, '';
    }
    return %found;
}

sub run { system(@_) == 0 or die "@_ failed\n" }
