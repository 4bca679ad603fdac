#!/usr/bin/perl
# Runs the installed setup-storage(8) in its dry mode on machines that exist only as text.
#
# Each line of standard input is a machine and a disk_config as JSON, each line of standard output
# what setup-storage makes of it. The program and its modules are loaded once and run unchanged in a
# child for each line; only its questions to the machine are answered from the text: which programs
# there are, what parted(8), blkid(8), LVM and mdadm(8) print. Disks have to be block devices: the
# caller gives it a /dev of its own, whose nodes belong to no driver.
use strict;
use warnings;

# Backquotes reach nobody.
BEGIN { *CORE::GLOBAL::readpipe = sub { '' }; }

use JSON::PP ();
use lib '/usr/share/fai/setup-storage/';
BEGIN {
  # What the modules print while they are loaded is no answer.
  open my $answers, '>&', \*STDOUT or die;
  our $out = $answers;
  open STDOUT, '>', '/dev/null' or die;
}
our $out;
my @fstab;
$out->autoflush(1);
require Init;
require Volumes;
require Parser;
require Sizes;
require Commands;
require Fstab;
require Exec;
require Storable;
# The program brings its functions along; the modules are in memory already.
my $text = do {
  open my $file, '<', '/usr/sbin/setup-storage' or die "no setup-storage: $!";
  local $/ = undef;
  <$file>;
};

my $json = JSON::PP->new->canonical;
while (my $line = <STDIN>) {
  my $case = $json->decode($line);
  my $answers = "$ENV{ORACLE_DIR}/answer";
  unlink $answers;
  my $child = fork() // die "cannot fork: $!";
  if ($child == 0) {
    run($case, $answers);
    exit 0;
  }
  waitpid $child, 0;
  open my $file, '<', $answers or die "no answer";
  print {$out} <$file>;
  close $file;
}

# One run of setup-storage; its answer goes into a file.
sub run {
  my ($case, $answers) = @_;
  my %answer = (accepted => JSON::PP::false);
  my $config = "$ENV{ORACLE_DIR}/config";
  open my $file, '>', $config or die;
  print {$file} $case->{config};
  close $file;
  @ARGV = ('-f', $config, '-L', $ENV{ORACLE_DIR}, '-D', join ' ', map { $_->{name} } @{ $case->{disks} });
  simulate($case);
  my @words;
  local $SIG{__WARN__} = sub { push @words, @_ };
  open STDERR, '>', '/dev/null' or die;
  my $done = eval { no strict; no warnings; eval $text; die $@ if $@; 1 };
  if ($done) {
    collect(\%answer);
  } else {
    ($answer{message}) = grep { $_ } "$@", @words;
  }
  $answer{words} = [ map { s/\s+$//r } grep { /line \d+|Invalid|ERROR/ } @words ];
  open $file, '>', $answers or die;
  print {$file} $json->encode(\%answer), "\n";
  close $file or die;
}

# Answers for questions to the machine.
sub simulate {
  my ($case) = @_;
  my %disks = map { ("/dev/$_->{name}" => $_) } @{ $case->{disks} };
  $FAI::reinstall = $case->{first_install} ? 0 : 1;
  $FAI::no_dry_run = 0;
  my $programs = join '|', qw(parted mdadm lvcreate cryptsetup udevadm pvdisplay resize2fs),
    map { "mkfs.$_" } qw(ext2 ext3 ext4 xfs vfat btrfs);
  no warnings 'redefine';
  *FAI::in_path = sub { $_[0] =~ /^(?:$programs)$/ };
  *FAI::execute_ro_command = sub {
    my ($command, $lines) = @_;
    if ($command =~ /^parted -sm? (\S+) unit (B|chs) print/) {
      my $disk = $disks{$1} // return 'parted_3_2';
      return 'parted_3_2' unless $disk->{label};
      @$lines = $2 eq 'B' ? table_in_bytes($1, $disk) : table_in_cylinders($disk);
    } elsif ($command =~ /-s (\S+) -o value (\S+)$/) {
      @$lines = ("$1-of-$2\n");
    } else {
      die "unexpected question: $command";
    }
    return '';
  };
  my $generate = \&FAI::generate_fstab;
  *FAI::generate_fstab = sub { @fstab = $generate->(@_) };
  *FAI::get_current_lvm = sub {
    for my $group (@{ $case->{groups} }) {
      my $name = $group->{name};
      $FAI::current_lvm_config{$name} = {
        physical_volumes => $group->{devices},
        size => $group->{size_bytes} / 1048576,
        volumes => { map { ($_->[0] => { size => $_->[1] / 1048576 }) } @{ $group->{volumes} } },
      };
      push @{ $FAI::current_dev_children{"VG_$name"} }, "/dev/$name/$_->[0]" for @{ $group->{volumes} };
      push @{ $FAI::current_dev_children{$_} }, "VG_$name" for @{ $group->{devices} };
    }
  };
  *FAI::get_current_raid = sub {
    for my $array (@{ $case->{arrays} }) {
      my $number = $array->{number};
      $FAI::current_raid_config{$number} = { mode => $array->{level}, devices => $array->{devices} };
      push @{ $FAI::current_dev_children{$_} }, "/dev/md$number" for @{ $array->{devices} };
    }
  };
}

# As `parted -sm DISK unit B print` prints a table.
sub table_in_bytes {
  my ($device, $disk) = @_;
  my @lines = ("BYT;\n", "$device:$disk->{size_bytes}B:virtblk:$disk->{sector_bytes}:$disk->{sector_bytes}:$disk->{label}:Disk:;\n");
  for my $part (@{ $disk->{partitions} }) {
    my $size = $part->{end_bytes} + 1 - $part->{start_bytes};
    push @lines, "$part->{number}:$part->{start_bytes}B:$part->{end_bytes}B:${size}B:$part->{file_system}:$part->{name}:;\n";
  }
  return @lines;
}

# As `parted -s DISK unit chs print free` prints it: geometry, and which partition is extended.
sub table_in_cylinders {
  my ($disk) = @_;
  my $cylinders = int $disk->{size_bytes} / ($disk->{sector_bytes} * 255 * 63);
  my $kilobytes = int $disk->{sector_bytes} * 255 * 63 / 1000;
  my @lines = ("BIOS cylinder,head,sector geometry: $cylinders,255,63.  Each cylinder is ${kilobytes}kB.\n");
  for my $part (grep { $_->{extended} } @{ $disk->{partitions} }) {
    push @lines, " $part->{number}      0,0,1  1,0,1  extended\n";
  }
  return @lines;
}

# What setup-storage has worked out.
sub collect {
  my ($answer) = @_;
  $answer->{accepted} = JSON::PP::true;
  for my $key (keys %FAI::configs) {
    my $config = $FAI::configs{$key};
    next unless $key =~ /^PHY_(.+)$/;
    my $disk = $1;
    for my $number (keys %{ $config->{partitions} }) {
      my $part = $config->{partitions}{$number};
      next unless defined $part->{start_byte};
      $answer->{partitions}{$disk}{$number} = {
        start => $part->{start_byte} + 0, end => $part->{end_byte} + 0,
        extended => $part->{size}{extended} ? JSON::PP::true : JSON::PP::false,
        name => $part->{ptlabel} // '',
        kept => $part->{size}{preserve} ? JSON::PP::true : JSON::PP::false,
      };
    }
  }
  my @order = sort { $a <=> $b } keys %FAI::commands;
  $answer->{commands} = [ grep { $_ ne 'true' } map { $FAI::commands{$_}{cmd} } @order ];
  $answer->{fstab} = [ @fstab ];
  $answer->{crypttab} = [ @FAI::crypttab ];
  $answer->{variables} = { %FAI::disk_var };
}
